//! Follows the links of a graph.
