// What is known of a model's loops, as numbers: what the analyses fill in and the report shows.
// NaN stands for what is not defined.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "fathom/report/report.h"
#include "fathom/study/loops/matrix.h"
#include "fathom/study/loops/pca.h"

namespace fathom {

// Of a sequence of states x_0, x_1, ...; number k is of the step from x_k to x_{k + 1}.
struct Convergence {
  std::vector<double> change;    // mean over tokens of |x_{k+1} - x_k|
  std::vector<double> relative;  // of |x_{k+1} - x_k| / |x_{k+1}|
  std::vector<double> angle;     // of the cosine between this change and the one before; none at 0
  std::vector<double> norm;      // of |x_{k+1}|
  std::vector<double> drift;     // of KL(p(x_{k+1}) || p(x_k)), nats
};
// All but the drift, which is as long and not known. States: (tokens, C) each.
Convergence convergence_of(const std::vector<DenseMatrix>& states);

struct GroupLoops {
  std::vector<DenseMatrix> states;  // x_0 is what entered the group; (T, C) each
  Convergence convergence;
};

// A step of a walk: a layer, once.
struct WalkStep {
  int layer = 0;
  std::vector<int64_t> iterations;  // of the loops that it stands in, from 1, outermost first
};

struct TextLoops {
  std::vector<std::string> tokens;  // as text; empty: unknown
  std::vector<GroupLoops> groups;
  Convergence global;          // from the embedding over every step of the walk
  std::vector<WalkStep> walk;  // the steps of `global`; empty: unknown
};

// The states of all groups of a text, without what entered them, on the axes of all of them
// together; `groups`: by group and iteration, (T, components). A group whose layers have another
// width than the last one's has none.
struct Projection {
  Pca pca;
  std::vector<std::vector<DenseMatrix>> groups;
};

// Of one group: box-counting dimensions of the ways of tokens (16 of each text at most, evenly
// apart), both ways of counting, and the drift from each text's group to the next that follows it.
struct LoopShapes {
  std::vector<double> boxes, run_boxes, drift;
  std::vector<double> axis_boxes, axis_run_boxes;  // of the ways on the principal axes
};

// One iteration's map at one token, the others held fast.
struct LoopJacobian {
  size_t group = 0;
  int64_t iteration = 0;  // from x_k to x_{k + 1}
  size_t token = 0;
  double spectral_radius = 0, operator_norm = 0;
};

struct LoopSpread {
  int64_t count = 0;
  double state = 0;   // root mean square distance of the last states from their mean, over its norm
  double scores = 0;  // standard deviation of ln p between draws, root mean square over tokens and
                      // vocabulary
  double kl = 0;      // mean KL of a draw's answer from the mean answer, nats
};

// A text, token by token with a cache, as generation computes it.
struct LoopExit {
  std::string name;                 // "5 loops", "rel_latent < 0.03"
  std::optional<int64_t> count;     // fixed
  std::optional<double> threshold;  // of a rule
  std::vector<double> loss;         // nats per token, by seed
  double iterations = 0;            // how often a token went through a looped layer, mean
  double blocks = 0;                // share of the blocks that all iterations would compute
  double milliseconds = 0;          // per token
};

struct WeightNorm {
  std::string name;
  int64_t rows = 0, columns = 0;
  double largest = 0;  // singular value
};

struct LoopFacts {
  std::string run, source;
  std::vector<std::string> groups;  // "layers 2-3"
  // Whether a group is within no other; shorter: so.
  std::vector<bool> outer;
  bool is_outer(size_t group) const { return group >= outer.size() || outer[group]; }
  int64_t count = 0;               // iterations of every group
  std::optional<int64_t> trained;  // most that training had; unset: unknown
  size_t components = 2, zoom = 15;
  bool boxes_on_axes = false;   // box-counting dimensions of the projected ways too
  bool token_pictures = false;  // of each drawn token's way too
  std::vector<TextLoops> texts;
  std::vector<Projection> projections;  // of each text
  std::vector<LoopShapes> shapes;       // of each group
  std::string map = "loop";             // what `jacobians` are of: "loop", "block"
  int64_t jacobian_steps = 0;           // applications of the map that each took; 0: unknown
  std::vector<LoopJacobian> jacobians;
  bool noisy = false;  // the loops' first states are drawn
  std::vector<LoopSpread> spreads;
  std::vector<LoopExit> exits;
  std::vector<WeightNorm> weights;
};

// Fills in what follows from the texts: projections and shapes.
void analyse(LoopFacts& facts);

// Tables, curves and trajectories on their principal axes; every number for programs.
report::Report loops_report(const LoopFacts& facts);
// Every number.
nlohmann::json loop_numbers(const LoopFacts& facts);
// Iterations 1 to `count` that a table shows: all of few, else closer at the beginning, and the
// last one.
std::vector<int64_t> shown_iterations(int64_t count);
// A line a token and iteration: text, group, iteration (0: what entered), position, token, its
// place on the principal axes, its norm and change.
std::string trajectories_csv(const LoopFacts& facts);
// A line an iteration of a group, and one a step of the whole walk (its group is empty): how far
// the states went.
std::string convergence_csv(const LoopFacts& facts);
// Of box dimensions, drifts, Jacobians, spreads and axes a line a number: quantity, group,
// iteration, token, sample (its place in a list of several texts' and tokens'), value.
std::string numbers_csv(const LoopFacts& facts);

}  // namespace fathom
