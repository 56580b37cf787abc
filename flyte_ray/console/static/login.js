// login: owned by the pages
