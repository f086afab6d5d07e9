// What a part of a model declares about itself, and the words for it: parameters with their
// beginnings and decay, costs, and what makes no sense. Each part (attention_spec.h, mlp_spec.h,
// norm_spec.h, injection.h, readout_spec.h) is a small struct with
//
//   void check(const PartPlace&) const;                          throws Error(kUsage)
//   void declare(const PartPlace&, ParameterList&) const;        once for each layer that names it
//   void cost(const PartPlace&, const CostSetting&, Cost&) const;  of one call
//
// and a bind() in the engine (walk/params.h). Whoever counts, allocates or binds goes over a plan's
// parts (each_part.h) and knows none of them. Torch-free.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "fathom/model/spec/backbone_config.h"

namespace fathom {

// Labels of parameters, for totals and weight decay.
enum class Part {
  kTokenTable,
  kPositionTable,
  kGate,
  kAdapter,
  kSignal,  // of a loop's iterations
  kAttention,
  kMlp,
  kNorm,
  kHead,
  kOwn,  // an experiment's
};
const char* part_name(Part part);

struct InitRule {
  enum Kind {
    kZeros,
    kOnes,
    kConstant,
    kNormal,
    kTruncated,  // normal, what is beyond three standard deviations drawn again
    kUniform,
    kDiagonal,  // (n, m n): numbers times the identity, side by side
  } kind;
  double scale = 0;   // standard deviation, half the width of the interval around 0, the number, or
                      // that of the first identity
  double beside = 0;  // of the other identities
};

struct ParameterSpec {
  std::string name;
  std::vector<int64_t> shape;
  Part part;
  InitRule init;
  std::optional<bool> decays = {};  // unset: decay_rule says it by part and shape

  int64_t count() const;
};

InitRule normal_init(double standard_deviation);
InitRule zeros_init();
InitRule ones_init();
InitRule constant_init(double number);
InitRule diagonal_init(double first, double others);
// Of a linear's weight with `in` inputs, by the backbone's `init`. `residual`: its output is added
// to the residual stream, which 2 n_layer of them feed. `effective_layers`: that a token passes,
// every iteration counted (DepthPlan::effective_layers); 0: n_layer.
InitRule linear_init(const BackboneConfig& backbone, int64_t in, bool residual = false,
                     double effective_layers = 0);
// Of a head of its own, and of tables of tokens (`is_head`: the table is the head as well) or
// positions.
InitRule head_init(const BackboneConfig& backbone, int64_t in, double effective_layers);
InitRule token_init(const BackboneConfig& backbone, bool is_head, double effective_layers);
InitRule position_init(const BackboneConfig& backbone);

// Where a plan names a part.
struct PartPlace {
  int64_t width = 0;               // of the stream that it meets
  std::optional<int64_t> context;  // of its layer
  bool tied_heads = false;         // of the plan
  bool causal = true;
};

// The rows of a parameter table, as parts declare them. An instance that several layers name is one
// part, and must be declared alike.
class ParameterList {
 public:
  ParameterList(const BackboneConfig& backbone, int64_t vocab_size, double effective_layers = 0)
      : backbone_(backbone), vocab_size_(vocab_size), effective_layers_(effective_layers) {}

  const BackboneConfig& backbone() const { return backbone_; }
  int64_t vocab_size() const { return vocab_size_; }
  double effective_layers() const { return effective_layers_; }

  // What follows, up to the next part, is of the part `name` ("attention.3"). `kind`: what must be
  // the same, besides the parameters, wherever it is named.
  void begin(const std::string& name, Part part, const std::string& kind = "");
  // "attention.3.<tensor>". Throws Error(kUsage) if it is there in another shape.
  void add(const std::string& tensor, std::vector<int64_t> shape, InitRule init,
           std::optional<bool> decays = {});
  // "attention.3.<name>.weight" (out, in) and, with `bias`, ".bias" (out); of an empty name
  // "gate.3.weight".
  void linear(const std::string& name, int64_t out, int64_t in, bool bias, bool residual = false);
  // The same, its weight by a rule of its own.
  void linear(const std::string& name, int64_t out, int64_t in, bool bias, InitRule weight);

  std::vector<ParameterSpec> take();

 private:
  struct Known {
    std::string kind;
    std::set<std::string> tensors;
  };
  void end();

  const BackboneConfig& backbone_;
  int64_t vocab_size_;
  double effective_layers_;
  std::vector<ParameterSpec> table_;
  std::map<std::string, std::vector<int64_t>> shapes_;
  std::map<std::string, Known> parts_;
  std::string name_;  // of the part that is being declared
  Part part_ = Part::kOwn;
  Known declared_;
};

// Multiplications and additions (2 per multiply-add) of one token in a forward pass over a full
// context of T tokens, by part, and of the gradients behind it. Attention scores are counted dense
// over the context or a step's window, as in Chowdhery et al. 2022 (PaLM), appendix B; norms and
// activations are not counted.
struct Flops {
  double attention_linear = 0;
  double attention_scores = 0;
  double mlp = 0;
  double head = 0;
  double doors = 0;  // gates and adapters
  double own = 0;    // an experiment's matrices, as if each were used once a token
  // Twice what the forward pass of those parts takes that gradients go through. Not cost()'s.
  double backward = 0;

  double forward() const { return attention_linear + attention_scores + mlp + head + doors + own; }
  double training() const { return forward() + backward; }
};

// Of one token.
struct Cost {
  Flops flops;
  double kept = 0;  // numbers that the plain operations keep for backward
};

struct CostSetting {
  const BackboneConfig& backbone;
  int64_t vocab_size = 0;
  int64_t T = 0;  // tokens of the context

  // Keys that a query meets.
  int64_t seen(const PartPlace& place) const;
};

}  // namespace fathom
