"""Detections: made, judged, drawn, written."""
