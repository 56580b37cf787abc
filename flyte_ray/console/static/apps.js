// apps: owned by the pages
