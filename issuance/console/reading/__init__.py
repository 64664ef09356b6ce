"""What pages show together and no other room reads so. A module is one picture; a statement says what it finds."""
