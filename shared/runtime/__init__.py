"""What every process needs: clock, settings, logging."""
