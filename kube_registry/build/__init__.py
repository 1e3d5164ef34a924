"""What a build reads: the files of a build context, their hash, and the snapshot that is built."""
