// app: owned by the pages
