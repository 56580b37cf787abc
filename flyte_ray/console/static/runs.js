// runs: owned by the pages
