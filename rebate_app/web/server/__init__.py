"""The HTTP server: connections, time-outs, limits, and who may be addressed as Host."""
