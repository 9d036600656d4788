"""Networks: layers with hand-written backward passes, losses, optimisers, and the loop that trains them."""
