"""The files of a build: read the build context, hash it, and make the snapshot that is built."""
