//! Sequences that begin alike share their beginning: a tree over token ids, read once, with one cache a branching point.

use super::tokens::Sequence;

/// What is asked after one position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Target {
    /// Index into the node's own tokens: the token asked for comes after it.
    pub position: usize,
    pub token: u32,
}

/// Tokens that stand after those of the parent, and what is asked on the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    pub parent: Option<usize>,
    pub tokens: Vec<u32>,
    pub targets: Vec<Target>,
    pub children: Vec<usize>,
}

/// Where a scored token of a sequence is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    pub node: usize,
    /// Index into the node's targets.
    pub target: usize,
}

/// The tree over many sequences.
#[derive(Debug, Clone, Default)]
pub struct Tree {
    pub nodes: Vec<Node>,
    /// For each sequence, a place for each token of its continuation.
    pub places: Vec<Vec<Place>>,
}

impl Tree {
    /// Positions that are read.
    #[must_use]
    pub fn n_positions(&self) -> usize {
        self.nodes.iter().map(|node| node.tokens.len()).sum()
    }

    /// Positions that would be read without sharing.
    #[must_use]
    pub fn n_positions_apart(sequences: &[Sequence]) -> usize {
        sequences.iter().map(|sequence| sequence.tokens.len() - 1).sum()
    }

    /// Builds the tree over what is put in: all tokens of a sequence but the last.
    ///
    /// A node ends where sequences part or one ends, so the tree does not depend on the order of `sequences`; nodes are
    /// numbered parents first, in the order of token ids.
    #[must_use]
    pub fn new(sequences: &[Sequence]) -> Self {
        let mut order: Vec<usize> = (0..sequences.len()).collect();
        order.sort_by(|&left, &right| input(&sequences[left]).cmp(input(&sequences[right])).then(left.cmp(&right)));
        let mut tree = Self { nodes: Vec::new(), places: vec![Vec::new(); sequences.len()] };
        let mut ranges = vec![(order.as_slice(), 0, None)];
        while let Some((members, depth, parent)) = ranges.pop() {
            // Members are equal up to `depth`; those that end there need no more.
            let longer = members.iter().position(|&at| input(&sequences[at]).len() > depth).unwrap_or(members.len());
            let mut rest = &members[longer..];
            let mut below = Vec::new();
            while let Some(&first) = rest.first() {
                let token = input(&sequences[first])[depth];
                let n = rest.iter().take_while(|&&at| input(&sequences[at])[depth] == token).count();
                let (alike, others) = rest.split_at(n);
                let end = shared_end(sequences, alike, depth);
                let node = tree.nodes.len();
                let tokens = input(&sequences[first])[depth..end].to_vec();
                tree.nodes.push(Node { parent, tokens, targets: Vec::new(), children: Vec::new() });
                if let Some(parent) = parent {
                    tree.nodes[parent].children.push(node);
                }
                for &at in alike {
                    tree.ask(node, depth, end, &sequences[at], at);
                }
                below.push((alike, end, Some(node)));
                rest = others;
            }
            ranges.extend(below.into_iter().rev());
        }
        tree
    }

    /// Adds what one sequence asks within a node that holds its tokens from `start` to `end`.
    fn ask(&mut self, node: usize, start: usize, end: usize, sequence: &Sequence, at: usize) {
        for place in start.max(sequence.first - 1)..end {
            let target = Target { position: place - start, token: sequence.tokens[place + 1] };
            let targets = &mut self.nodes[node].targets;
            let index = targets.iter().position(|held| *held == target).unwrap_or_else(|| {
                targets.push(target);
                targets.len() - 1
            });
            self.places[at].push(Place { node, target: index });
        }
    }
}

fn input(sequence: &Sequence) -> &[u32] {
    &sequence.tokens[..sequence.tokens.len() - 1]
}

/// Where the sorted members, equal up to `depth` + 1, first part or the shortest ends.
fn shared_end(sequences: &[Sequence], members: &[usize], depth: usize) -> usize {
    let (Some(&first), Some(&last)) = (members.first(), members.last()) else { return depth };
    let (first, last) = (input(&sequences[first]), input(&sequences[last]));
    let shared = first[depth..].iter().zip(&last[depth..]).take_while(|(left, right)| left == right).count();
    depth + shared
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sequence(tokens: &[u32], first: usize) -> Sequence {
        Sequence { tokens: tokens.to_vec(), first }
    }

    /// What a sequence reads along its way through the tree, and what it asks.
    fn walked(tree: &Tree, at: usize) -> Vec<(Vec<u32>, u32)> {
        tree.places[at]
            .iter()
            .map(|place| {
                let node = &tree.nodes[place.node];
                let target = node.targets[place.target];
                let mut before = node.tokens[..=target.position].to_vec();
                let mut parent = node.parent;
                while let Some(above) = parent {
                    before = [tree.nodes[above].tokens.clone(), before].concat();
                    parent = tree.nodes[above].parent;
                }
                (before, target.token)
            })
            .collect()
    }

    proptest::proptest! {
        /// Every scored token is asked for after exactly the tokens that stand before it, whatever else is in the tree.
        #[test]
        fn every_token_is_asked_for_after_its_own_past(
            made in proptest::collection::vec((proptest::collection::vec(0_u32..3, 2..9), 0_usize..8), 1..12),
        ) {
            let sequences: Vec<Sequence> =
                made.iter().map(|(tokens, first)| sequence(tokens, 1 + first % (tokens.len() - 1))).collect();
            let tree = Tree::new(&sequences);
            for (at, sequence) in sequences.iter().enumerate() {
                let expected: Vec<(Vec<u32>, u32)> =
                    (sequence.first..sequence.tokens.len()).map(|end| (sequence.tokens[..end].to_vec(), sequence.tokens[end])).collect();
                proptest::prop_assert_eq!(walked(&tree, at), expected);
            }
            proptest::prop_assert!(tree.n_positions() <= Tree::n_positions_apart(&sequences));
            // No two children of a node begin alike: all that can be shared is.
            for node in &tree.nodes {
                let mut firsts: Vec<u32> = node.children.iter().map(|&child| tree.nodes[child].tokens[0]).collect();
                let n = firsts.len();
                firsts.sort_unstable();
                firsts.dedup();
                proptest::prop_assert_eq!(firsts.len(), n);
            }
        }
    }

    /// By hand: context 5 6, choices 7 / 8 9 / 8: 5 6 is read once, then 8; 7 and the last 9 and 8 are only asked for.
    #[test]
    fn choices_share_their_context() {
        let sequences = [sequence(&[5, 6, 7], 2), sequence(&[5, 6, 8, 9], 2), sequence(&[5, 6, 8], 2)];
        let tree = Tree::new(&sequences);
        assert_eq!((tree.n_positions(), Tree::n_positions_apart(&sequences)), (3, 7));
        assert_eq!(tree.nodes[0].tokens, [5, 6]);
        assert_eq!(tree.nodes[0].targets, [Target { position: 1, token: 7 }, Target { position: 1, token: 8 }]);
        assert_eq!((tree.nodes[1].tokens.as_slice(), tree.nodes[1].parent), ([8].as_slice(), Some(0)));
    }
}
