"""Read the files of data sets of images with texts."""
