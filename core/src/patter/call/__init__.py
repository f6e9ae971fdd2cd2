"""One call: listening, turns, barge-in, reply, playout, tools and teardown."""
