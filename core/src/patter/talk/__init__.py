"""A conversation in writing through the real engine: what `Patter.test` and ``patter talk --text`` run."""
