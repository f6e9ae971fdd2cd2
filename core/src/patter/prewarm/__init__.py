"""What is opened while a phone rings: parked connections and the greeting's audio (architecture §7)."""
