"""Files of detections that other programs read: COCO results, DOTA submissions, CSV."""
