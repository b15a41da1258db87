"""What all storages share, and how sessions use them."""
