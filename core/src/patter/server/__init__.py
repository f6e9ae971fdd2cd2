"""The HTTP server: admission, media tokens, webhooks and media sockets."""
