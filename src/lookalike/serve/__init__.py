"""The HTTP service and its web page, on the loopback interface."""
