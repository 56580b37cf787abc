"""Kill what a run stands on, again and again, and judge by its log and by side effects whether anything was lost."""
