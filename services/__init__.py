"""One room per process; they meet only in topics, never in imports."""
