"""The capstone: a network and its training on the operations of a submission."""
