"""The image's recipe, deploy/Dockerfile."""
