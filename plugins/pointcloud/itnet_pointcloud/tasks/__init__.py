"""Tasks of shape classification and part segmentation."""
