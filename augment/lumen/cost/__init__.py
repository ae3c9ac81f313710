"""The memory and time that training and sampling are expected to take, without running them."""
