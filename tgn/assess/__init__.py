"""The stage ``assess``: what a data set lacks, before anything is trained."""
