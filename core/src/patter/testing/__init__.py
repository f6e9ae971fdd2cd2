"""Test whole phone calls: virtual time, a simulated carrier, fakes, conformance suites, a pytest plugin."""
