"""What pages show together, and no other room reads so. Each module is one picture."""
