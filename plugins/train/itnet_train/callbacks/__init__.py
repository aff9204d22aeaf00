"""Lightning callbacks: history, stopping, saving, and progress lines."""
