#include "fathom/train/checkpoint.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <fmt/format.h>

#include <cstring>

#include "fathom/base/error.h"
#include "fathom/config/fields.h"
#include "fathom/io/files.h"
#include "fathom/io/safetensors.h"

namespace fathom {
namespace {

using nlohmann::json;

constexpr int kFormatVersion = 1;
constexpr uint64_t kMaxStateBytes = 64 << 20;

// Tensors on the processor in float32, contiguous, kept alive while their views are written.
class TensorList {
 public:
  void add(const std::string& name, const Tensor& tensor) {
    kept_.push_back(tensor.detach().to(at::kCPU, at::kFloat).contiguous());
    const Tensor& t = kept_.back();
    views_.push_back({name,
                      Dtype::F32,
                      t.sizes().vec(),
                      {static_cast<const std::byte*>(t.data_ptr()), t.nbytes()}});
  }
  void write(const std::string& path) const { write_safetensors(path, views_); }

 private:
  std::vector<Tensor> kept_;
  std::vector<TensorView> views_;
};

json config_json(RunConfig config) {
  FieldList list;
  add_fields(list, config);
  json out = {{"preset", config.preset}};
  for (const Field& field : list.all()) out[field.name()] = field.value();
  return out;
}

RunConfig config_from_json(const json& values, const std::string& origin) {
  RunConfig config;
  FieldList list;
  add_fields(list, config);
  for (const auto& [key, value] : values.items()) {
    if (key == "preset")
      config.preset = value.get<std::string>();
    else
      list.set(key, value, origin);
  }
  return config;
}

}  // namespace

void save_checkpoint(const std::string& folder, const CheckpointState& state,
                     const ParameterSet& parameters, const AdamW& optimizer) {
  StagedFolder staged(folder);
  TensorList model, moments;
  for (const Parameter& p : parameters.all()) model.add(p.spec.name, p.tensor);
  for (const AdamW::State& s : optimizer.state()) {
    moments.add(s.name + ".m", s.m);
    moments.add(s.name + ".v", s.v);
  }
  model.write(staged.path() + "/model.safetensors");
  moments.write(staged.path() + "/optimizer.safetensors");
  const json j = {{"format_version", kFormatVersion},
                  {"config", config_json(state.config)},
                  {"vocab_size", state.vocab_size},
                  {"step", state.step},
                  {"optimizer_steps", optimizer.steps()},
                  {"cursor", state.cursor},
                  {"corpus_fingerprint", state.corpus_fingerprint},
                  {"best_metric", state.best_metric},
                  {"best_value", state.best_value},
                  {"tokenizer", state.tokenizer}};
  write_file_durably(staged.path() + "/state.json", as_bytes(j.dump(1) + "\n"));
  staged.commit();
}

CheckpointState load_state(const std::string& folder) {
  const std::string path = folder_to_read(folder) + "/state.json";
  const std::string text = read_text_file(path, kMaxStateBytes);
  CheckpointState state;
  try {
    const json j = json::parse(text);
    if (const int version = j.at("format_version"); version != kFormatVersion)
      fail(fmt::format("{}: format_version is {}, this program reads {}", path, version,
                       kFormatVersion),
           "use the version of fathom that wrote it");
    state.config = config_from_json(j.at("config"), path);
    state.vocab_size = j.at("vocab_size");
    state.step = j.at("step");
    state.cursor = j.at("cursor").get<Cursor>();
    state.corpus_fingerprint = j.at("corpus_fingerprint");
    state.best_metric = j.at("best_metric");
    state.best_value = j.at("best_value").is_null() ? 0.0 : j.at("best_value").get<double>();
    state.tokenizer = j.at("tokenizer");
  } catch (const json::exception& e) {
    fail(fmt::format("{} is damaged: {}", path, e.what()), "take another checkpoint of the run");
  }
  return state;
}

void load_parameters(const std::string& folder, ParameterSet& parameters) {
  const at::NoGradGuard no_grad;
  const std::string path = folder_to_read(folder) + "/model.safetensors";
  const SafetensorsFile file = SafetensorsFile::open(path);
  for (const Parameter& p : parameters.all()) {
    const TensorInfo* info = file.find(p.spec.name);
    if (info == nullptr) fail(fmt::format("{}: {} is missing", path, p.spec.name));
    if (info->shape != p.spec.shape || info->dtype != Dtype::F32)
      fail(fmt::format("{}: {} is {} [{}], the model needs F32 [{}]", path, p.spec.name,
                       dtype_name(info->dtype), fmt::join(info->shape, ", "),
                       fmt::join(p.spec.shape, ", ")));
    const Span<const std::byte> bytes = file.bytes(*info);
    const Tensor values = at::empty(info->shape, at::TensorOptions(at::kFloat));
    std::memcpy(values.data_ptr(), bytes.data(), bytes.size());
    Tensor target = p.tensor;
    target.copy_(values);
  }
  if (file.tensors().size() != parameters.all().size())
    fail(fmt::format("{}: holds {} tensors, the model has {}", path, file.tensors().size(),
                     parameters.all().size()));
}

LoadedModel load_model(const std::string& folder, at::Device device) {
  LoadedModel loaded;
  loaded.state = load_state(folder);
  const CheckpointState& s = loaded.state;
  loaded.model = make_model(s.config.model, s.vocab_size, /*seed=*/0, device);
  load_parameters(folder, loaded.model->parameters());
  if (!s.tokenizer.is_null()) loaded.tokenizer = Tokenizer::from_json(s.tokenizer);
  return loaded;
}

}  // namespace fathom
