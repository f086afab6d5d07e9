#include "fathom/exchange/gpt2_tensors.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>
#include <set>
#include <utility>

#include "fathom/base/error.h"
#include "fathom/base/text.h"
#include "fathom/exchange/half.h"
#include "fathom/model/spec/model_config.h"
#include "fathom/model/spec/parameter_table.h"

namespace fathom {
namespace {

constexpr std::string_view kPrefix = "transformer.";
constexpr const char* kHead = "lm_head.weight";
constexpr const char* kHint =
    "import takes a GPT-2's weights as Hugging Face or the converter for "
    "nanoGPT's checkpoints write them";

// "attention.3.qkv.weight" -> "h.3.attn.c_attn.weight"
std::string their_name(const std::string& ours) {
  static const std::map<std::string, std::string> kWhole = {
      {"token_table.0.weight", "transformer.wte.weight"},
      {"position_table.weight", "transformer.wpe.weight"},
      {"norm_out.0.weight", "transformer.ln_f.weight"},
      {"norm_out.0.bias", "transformer.ln_f.bias"},
      {"head.0.weight", kHead},
  };
  static const std::map<std::string, std::string> kParts = {
      {"norm_in", "ln_1"},
      {"norm_mid", "ln_2"},
      {"attention.qkv", "attn.c_attn"},
      {"attention.out", "attn.c_proj"},
      {"mlp.up", "mlp.c_fc"},
      {"mlp.down", "mlp.c_proj"},
  };
  if (const auto found = kWhole.find(ours); found != kWhole.end()) return found->second;
  const size_t number = ours.find('.') + 1, after = ours.find('.', number), last = ours.rfind('.');
  const std::string part = ours.substr(0, number - 1) + ours.substr(after, last - after);
  const auto found = kParts.find(part);
  if (found == kParts.end()) fail(fmt::format("a GPT-2 has no {}", ours));
  return fmt::format("transformer.h.{}.{}{}", ours.substr(number, after - number), found->second,
                     ours.substr(last));
}

// A layer's linear maps are stored (in, out) there.
bool is_transposed(const Gpt2Tensor& t) {
  return t.shape.size() == 2 && t.theirs.find(".c_") != std::string::npos;
}

// Values of one layout in the other: `from` has R rows of C, or C rows of R where it is transposed.
struct Conversion {
  std::shared_ptr<const SafetensorsFile> file;
  const TensorInfo* from;
  int64_t R, C;
  bool transposed;
};

float value_at(const std::byte* data, Dtype dtype, size_t i) {
  uint16_t half = 0;
  float single = 0;
  if (dtype == Dtype::F32) {
    std::memcpy(&single, data + 4 * i, 4);
    return single;
  }
  std::memcpy(&half, data + 2 * i, 2);
  return dtype == Dtype::F16 ? float_of_half(half) : float_of_bfloat16(half);
}

void convert(const Conversion& c, const std::function<void(Span<const std::byte>)>& give) {
  constexpr int64_t kRows = 64;
  const Span<const std::byte> bytes = c.file->bytes(*c.from);
  const auto C = static_cast<size_t>(c.C), R = static_cast<size_t>(c.R);
  std::vector<float> rows;
  for (size_t first = 0; first < R; first += kRows) {
    const size_t n = std::min<size_t>(kRows, R - first);
    rows.resize(n * C);
    for (size_t j = 0; j < C; ++j)
      for (size_t i = 0; i < n; ++i)
        rows[i * C + j] = value_at(bytes.data(), c.from->dtype,
                                   c.transposed ? j * R + first + i : (first + i) * C + j);
    c.file->require_whole();
    if (!std::all_of(rows.begin(), rows.end(), [](float x) { return std::isfinite(x); }))
      fail(fmt::format("{} holds a number that is not finite", quoted_start(c.from->name)),
           "the weights are damaged: take another checkpoint");
    give({reinterpret_cast<const std::byte*>(rows.data()), rows.size() * sizeof(float)});
  }
}

TensorMaker maker(const std::string& name, const std::vector<int64_t>& shape,
                  std::shared_ptr<const SafetensorsFile> file, const TensorInfo* from,
                  bool transposed) {
  const int64_t R = shape.at(0), C = shape.size() == 2 ? shape[1] : 1;
  return {name, Dtype::F32, shape,
          [c = Conversion{std::move(file), from, R, C, transposed}](const auto& give) {
            convert(c, give);
          }};
}

TensorMaker zeros(const std::string& name, int64_t n) {
  return {name, Dtype::F32, {n}, [n](const auto& give) {
            const std::vector<float> all(static_cast<size_t>(n));
            give({reinterpret_cast<const std::byte*>(all.data()), all.size() * sizeof(float)});
          }};
}

std::vector<int64_t> their_shape(const Gpt2Tensor& t) {
  return t.transposed ? std::vector<int64_t>{t.shape[1], t.shape[0]} : t.shape;
}

// The file's tensors by their names with the prefix.
class TheirTensors {
 public:
  TheirTensors(const SafetensorsFile& file, std::string path)
      : file_(file), path_(std::move(path)) {
    for (const TensorInfo& info : file.tensors()) {
      if (is_buffer(info.name)) continue;
      const bool prefixed = info.name.rfind(kPrefix, 0) == 0 || info.name == kHead;
      const std::string name = prefixed ? info.name : std::string(kPrefix) + info.name;
      if (!by_name_.emplace(name, &info).second)
        refuse(fmt::format("{} is there with and without {}", quoted_start(info.name), kPrefix));
    }
  }

  const TensorInfo* find(const std::string& name) const {
    const auto found = by_name_.find(name);
    return found == by_name_.end() ? nullptr : found->second;
  }
  const TensorInfo* require(const std::string& name, const std::vector<int64_t>& shape) const {
    const TensorInfo* info = find(name);
    if (info == nullptr) refuse(name + " is missing");
    if (info->shape != shape)
      refuse(fmt::format("{} is [{}], config.json makes it [{}]", name, shown_list(info->shape),
                         shown_list(shape)));
    if (info->dtype != Dtype::F32 && info->dtype != Dtype::F16 && info->dtype != Dtype::BF16)
      refuse(
          fmt::format("{} is {}, import reads F32, F16 and BF16", name, dtype_name(info->dtype)));
    return info;
  }
  void refuse_surplus(const std::vector<Gpt2Tensor>& known) const {
    std::set<std::string> names = {kHead};
    for (const Gpt2Tensor& t : known) names.insert(t.theirs);
    for (const auto& [name, info] : by_name_)
      if (names.count(name) == 0)
        refuse(fmt::format("a GPT-2 of this config.json has no {}", quoted_start(info->name)));
  }
  bool is_zero(const TensorInfo& info) const {
    const Span<const std::byte> bytes = file_.bytes(info);
    return std::all_of(bytes.begin(), bytes.end(), [](std::byte b) { return b == std::byte{0}; });
  }
  [[noreturn]] void refuse(const std::string& why) const {
    fail(fmt::format("{}: {}", path_, why), kHint);
  }

 private:
  // The causal mask, which older files have.
  static bool is_buffer(const std::string& name) {
    const auto ends = [&](std::string_view end) {
      return name.size() >= end.size() &&
             std::string_view(name).substr(name.size() - end.size()) == end;
    };
    return ends(".attn.bias") || ends(".attn.masked_bias");
  }

  const SafetensorsFile& file_;
  std::string path_;
  std::map<std::string, const TensorInfo*> by_name_;
};

// Whether the model has biases: all of them or none.
bool has_biases(const TheirTensors& theirs, const std::vector<Gpt2Tensor>& with_biases,
                bool as_told) {
  size_t biases = 0, there = 0;
  const TensorInfo* other_than_zero = nullptr;
  for (const Gpt2Tensor& t : with_biases) {
    if (!t.is_bias) continue;
    ++biases;
    const TensorInfo* info = theirs.find(t.theirs);
    if (info == nullptr) continue;
    ++there;
    if (!as_told && !theirs.is_zero(*info)) other_than_zero = info;
  }
  if (there == 0) return false;
  if (there < biases)
    for (const Gpt2Tensor& t : with_biases)
      if (t.is_bias && theirs.find(t.theirs) == nullptr)
        theirs.refuse(t.theirs + " is missing, but others of its kind are there");
  if (other_than_zero != nullptr)
    theirs.refuse(fmt::format("config.json says fathom_bias = false, but {} is not zero",
                              quoted_start(other_than_zero->name)));
  return as_told;
}

// A tied model's file may hold its head once more.
void check_tied_head(const TheirTensors& theirs, const SafetensorsFile& file) {
  const TensorInfo* head = theirs.find(kHead);
  const TensorInfo* table = theirs.find("transformer.wte.weight");
  if (head == nullptr || table == nullptr) return;
  const Span<const std::byte> a = file.bytes(*head), b = file.bytes(*table);
  if (head->dtype != table->dtype || a.size() != b.size() ||
      (!a.empty() && std::memcmp(a.data(), b.data(), a.size()) != 0))
    theirs.refuse(fmt::format("{} is not wte.weight, but config.json ties the two", kHead));
}

}  // namespace

std::vector<Gpt2Tensor> gpt2_tensors(const BackboneConfig& backbone, int64_t vocab_size) {
  ModelConfig model;
  model.backbone = backbone;
  std::vector<Gpt2Tensor> tensors;
  for (const ParameterSpec& spec : parameter_table(model, vocab_size)) {
    Gpt2Tensor t{spec.name, their_name(spec.name), spec.shape};
    t.transposed = is_transposed(t);
    t.is_bias = spec.name.size() > 5 && spec.name.substr(spec.name.size() - 5) == ".bias";
    tensors.push_back(std::move(t));
  }
  return tensors;
}

std::vector<TensorMaker> tensors_from_hugging_face(std::shared_ptr<const SafetensorsFile> file,
                                                   const std::string& path,
                                                   BackboneConfig& backbone) {
  const TheirTensors theirs(*file, path);
  // Before a table of n_layer rows is made.
  if (backbone.n_layer > static_cast<int64_t>(file->tensors().size()))
    theirs.refuse(fmt::format("{} tensors are too few for n_layer = {}", file->tensors().size(),
                              backbone.n_layer));
  const bool as_told = backbone.bias;
  const int64_t V = backbone.vocab_size.value_or(0);
  backbone.bias = true;
  const std::vector<Gpt2Tensor> with_biases = gpt2_tensors(backbone, V);
  theirs.refuse_surplus(with_biases);
  backbone.bias = has_biases(theirs, with_biases, as_told);
  std::vector<TensorMaker> makers;
  for (const Gpt2Tensor& t : gpt2_tensors(backbone, V))
    makers.push_back(
        maker(t.ours, t.shape, file, theirs.require(t.theirs, their_shape(t)), t.transposed));
  if (backbone.tie_head) check_tied_head(theirs, *file);
  file->require_whole();
  return makers;
}

std::vector<TensorMaker> tensors_for_hugging_face(std::shared_ptr<const SafetensorsFile> file,
                                                  const std::string& path,
                                                  const BackboneConfig& backbone,
                                                  int64_t vocab_size) {
  BackboneConfig with_biases = backbone;
  with_biases.bias = true;
  std::vector<TensorMaker> makers;
  for (const Gpt2Tensor& t : gpt2_tensors(with_biases, vocab_size)) {
    if (t.is_bias && !backbone.bias) {
      makers.push_back(zeros(t.theirs, t.shape.at(0)));
      continue;
    }
    const TensorInfo* info = file->find(t.ours);
    if (info == nullptr || info->shape != t.shape || info->dtype != Dtype::F32)
      fail(fmt::format("{}: {} is not there as F32 [{}]", path, t.ours, shown_list(t.shape)),
           "take another checkpoint of the run");
    makers.push_back(maker(t.theirs, their_shape(t), file, info, t.transposed));
  }
  return makers;
}

}  // namespace fathom
