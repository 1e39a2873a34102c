//! Golden packets of the group protocol, in both byte orders, and what happens to wrong ones.
