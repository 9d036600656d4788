"""How the cells of a grid are computed: on processes, on a cluster, or side by side on one device."""
