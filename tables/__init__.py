"""The two tables: what is stored under which key and why; how it is kept safe is the lane's business."""
