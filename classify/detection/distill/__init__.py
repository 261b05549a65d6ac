"""How a detector learns from another one."""
