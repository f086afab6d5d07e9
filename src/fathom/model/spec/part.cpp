#include "fathom/model/spec/part.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>

#include "fathom/base/error.h"

namespace fathom {
namespace {

constexpr double kInitStd = 0.02;  // GPT-2

// The same for every number of inputs (Takase et al. 2023, spike-free initialisation).
double takase_std(const BackboneConfig& backbone) {
  return std::sqrt(2 / (5 * static_cast<double>(backbone.n_embd)));
}

// A name that only one of the sets has.
std::string in_one_only(const std::set<std::string>& a, const std::set<std::string>& b) {
  std::vector<std::string> names;
  std::set_symmetric_difference(a.begin(), a.end(), b.begin(), b.end(), std::back_inserter(names));
  return names.empty() ? "" : names.front();
}

}  // namespace

const char* part_name(Part part) {
  switch (part) {
    case Part::kTokenTable:
      return "token table";
    case Part::kPositionTable:
      return "position table";
    case Part::kGate:
      return "gates";
    case Part::kAdapter:
      return "adapters";
    case Part::kSignal:
      return "loop signals";
    case Part::kAttention:
      return "attention";
    case Part::kMlp:
      return "MLP";
    case Part::kNorm:
      return "norms";
    case Part::kHead:
      return "head";
    case Part::kOwn:
      return "own";
  }
  return "";
}

int64_t ParameterSpec::count() const {
  int64_t n = 1;
  for (const int64_t size : shape) n *= size;
  return n;
}

InitRule normal_init(double standard_deviation) {
  return {InitRule::kNormal, standard_deviation};
}
InitRule zeros_init() {
  return {InitRule::kZeros, 0};
}
InitRule ones_init() {
  return {InitRule::kOnes, 0};
}

InitRule constant_init(double number) {
  return {InitRule::kConstant, number};
}

InitRule diagonal_init(double first, double others) {
  return {InitRule::kDiagonal, first, others};
}

InitRule linear_init(const BackboneConfig& backbone, int64_t in, bool residual,
                     double effective_layers) {
  const auto n_layer = static_cast<double>(backbone.n_layer);
  const double L = effective_layers > 0 ? effective_layers : n_layer;
  // DeepNorm's beta takes the place of whatever else scales what is added to the stream.
  const bool tied_depth = backbone.residual_scaling == ResidualScaling::kTiedDepth;
  const double beta = residual && tied_depth ? stream_scales(L).branch : 1;
  const double scaled = residual && !tied_depth ? 1 : 0;  // by the init's own rule
  switch (backbone.init) {
    case Init::kTorch:
      return {InitRule::kUniform, beta / std::sqrt(static_cast<double>(in))};
    case Init::kGpt2:
      return normal_init(kInitStd * (scaled > 0 ? 1 / std::sqrt(2 * n_layer) : beta));
    case Init::kTakase:
    case Init::kTakaseTied:
      return normal_init(beta * takase_std(backbone));
    case Init::kHuginn:
      return {InitRule::kTruncated,
              takase_std(backbone) * (scaled > 0 ? 1 / std::sqrt(2 * L) : beta)};
  }
  return zeros_init();
}

InitRule head_init(const BackboneConfig& backbone, int64_t in, double effective_layers) {
  if (backbone.init != Init::kTakase && backbone.init != Init::kTakaseTied)
    return linear_init(backbone, in);
  return normal_init(takase_std(backbone) * logit_scale(backbone, effective_layers));
}

InitRule token_init(const BackboneConfig& backbone, bool is_head, double effective_layers) {
  switch (backbone.init) {
    case Init::kGpt2:
      return normal_init(kInitStd);
    case Init::kTorch:
      return normal_init(1.0);
    case Init::kTakase:
      return normal_init(takase_std(backbone));
    case Init::kTakaseTied:
      return is_head ? head_init(backbone, backbone.n_embd, effective_layers)
                     : normal_init(takase_std(backbone));
    case Init::kHuginn:
      return {InitRule::kTruncated, takase_std(backbone)};
  }
  return zeros_init();
}

InitRule position_init(const BackboneConfig& backbone) {
  return backbone.init == Init::kTorch ? zeros_init() : token_init(backbone, false, 0);
}

void ParameterList::begin(const std::string& name, Part part, const std::string& kind) {
  end();
  name_ = name;
  part_ = part;
  declared_ = {kind, {}};
}

void ParameterList::add(const std::string& tensor, std::vector<int64_t> shape, InitRule init,
                        std::optional<bool> decays) {
  const std::string name = name_ + "." + tensor;
  declared_.tensors.insert(name);
  const auto [known, is_new] = shapes_.emplace(name, shape);
  if (is_new) {
    table_.push_back({name, std::move(shape), part_, init, decays});
  } else if (known->second != shape) {
    misuse(fmt::format("{} is shared by layers that need [{}] and [{}]", name,
                       fmt::join(known->second, ", "), fmt::join(shape, ", ")),
           "layers of different widths, or with other kinds of the part, cannot share weights");
  }
}

void ParameterList::linear(const std::string& name, int64_t out, int64_t in, bool bias,
                           bool residual) {
  linear(name, out, in, bias, linear_init(backbone_, in, residual, effective_layers_));
}

void ParameterList::linear(const std::string& name, int64_t out, int64_t in, bool bias,
                           InitRule weight) {
  const std::string prefix = name.empty() ? "" : name + ".";
  add(prefix + "weight", {out, in}, weight);
  if (!bias) return;
  // Beside identities it would not be one.
  const bool drawn = backbone_.init == Init::kTorch && weight.kind != InitRule::kDiagonal;
  add(prefix + "bias", {out},
      drawn ? InitRule{InitRule::kUniform, 1 / std::sqrt(double(in))} : zeros_init());
}

void ParameterList::end() {
  if (name_.empty()) return;
  const auto [known, is_new] = parts_.emplace(name_, declared_);
  if (is_new) return;
  const std::string other = in_one_only(known->second.tensors, declared_.tensors);
  if (!other.empty())
    misuse(
        fmt::format("{} is shared by layers of which one has {} and another has not", name_, other),
        "layers that share a part need it of one kind");
  if (known->second.kind != declared_.kind)
    misuse(fmt::format("{} is shared by layers that need it as `{}` and as `{}`", name_,
                       known->second.kind, declared_.kind),
           "layers that share a part need it of one kind");
}

std::vector<ParameterSpec> ParameterList::take() {
  end();
  name_.clear();
  return std::move(table_);
}

int64_t CostSetting::seen(const PartPlace& place) const {
  return place.context ? std::min(*place.context + 1, T) : T;
}

}  // namespace fathom
