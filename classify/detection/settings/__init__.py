"""Settings of detectors; these modules import no torch, so that ``--help`` answers at once."""
