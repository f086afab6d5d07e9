#include "fathom/model/spec/part.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>

#include "fathom/base/error.h"

namespace fathom {
namespace {

constexpr double kInitStd = 0.02;  // GPT-2

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

InitRule linear_init(const BackboneConfig& backbone, int64_t in, bool residual) {
  if (backbone.init == Init::kTorch)
    return {InitRule::kUniform, 1 / std::sqrt(static_cast<double>(in))};
  const double layers = 2 * static_cast<double>(backbone.n_layer);
  return normal_init(kInitStd * (residual ? 1 / std::sqrt(layers) : 1));
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
  const std::string prefix = name.empty() ? "" : name + ".";
  add(prefix + "weight", {out, in}, linear_init(backbone_, in, residual));
  if (!bias) return;
  const bool gpt2 = backbone_.init == Init::kGpt2;
  add(prefix + "bias", {out}, gpt2 ? zeros_init() : linear_init(backbone_, in));
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
