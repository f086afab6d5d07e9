#include "fathom/train/checkpoint.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <fmt/format.h>

#include <cstring>
#include <limits>
#include <set>

#include "fathom/base/error.h"
#include "fathom/config/fields.h"
#include "fathom/io/checkpoint_folder.h"
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

RunConfig config_from_json(const json& values) {
  RunConfig config;
  FieldList list;
  add_fields(list, config);
  for (const auto& [key, value] : values.items()) {
    if (key == "preset")
      config.preset = value.get<std::string>();
    else
      list.set(key, value, "config");
  }
  validate(config.model);
  return config;
}

int64_t count_from_json(const json& j, const char* key) {
  const json& value = j.at(key);
  if (!value.is_number_integer() || value < 0 || value > INT64_MAX)
    fail(fmt::format("{} = {} is not a count", key, value.dump()));
  return value;
}

CheckpointState state_from_json(const json& j) {
  CheckpointState state;
  state.config = config_from_json(j.at("config"));
  state.vocab_size = count_from_json(j, "vocab_size");
  state.step = count_from_json(j, "step");
  state.cursor = j.at("cursor").get<Cursor>();
  state.corpus_fingerprint = j.at("corpus_fingerprint");
  state.best_metric = j.at("best_metric");
  // JSON has no infinity: null is "none yet".
  state.best_value = j.at("best_value").is_null() ? std::numeric_limits<double>::infinity()
                                                  : j.at("best_value").get<double>();
  state.tokenizer = j.at("tokenizer");
  return state;
}

// The file must hold exactly the table's tensors.
void require_tensors(const SafetensorsFile& file, const std::string& path,
                     const std::vector<ParameterSpec>& table) {
  std::set<std::string> known;
  for (const ParameterSpec& spec : table) {
    known.insert(spec.name);
    const TensorInfo* info = file.find(spec.name);
    if (info == nullptr) fail(fmt::format("{}: {} is missing", path, spec.name));
    if (info->shape != spec.shape || info->dtype != Dtype::F32)
      fail(fmt::format("{}: {} is {} [{}], the model needs F32 [{}]", path, spec.name,
                       dtype_name(info->dtype), fmt::join(info->shape, ", "),
                       fmt::join(spec.shape, ", ")));
  }
  for (const TensorInfo& info : file.tensors())
    if (known.count(info.name) == 0)
      fail(fmt::format("{}: the model has no {}", path, shown_name(info.name)));
}

}  // namespace

void save_checkpoint(const std::string& folder, const CheckpointState& state,
                     const ParameterSet& parameters, const AdamW& optimizer) {
  CheckpointWriter staged(folder);
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
  std::string damage;
  try {
    const json j = json::parse(text);
    const int version = j.at("format_version");
    if (version == kFormatVersion) return state_from_json(j);
    damage = fmt::format("format_version is {}, this program reads {}", version, kFormatVersion);
  } catch (const json::exception& e) {
    damage = e.what();
  } catch (const Error& e) {
    damage = e.what();
  }
  fail(fmt::format("{} cannot be used: {}", path, damage),
       "take another checkpoint of the run, or the version of fathom that wrote it");
}

void load_parameters(const std::string& folder, ParameterSet& parameters) {
  const at::NoGradGuard no_grad;
  const std::string path = folder_to_read(folder) + "/model.safetensors";
  const SafetensorsFile file = SafetensorsFile::open(path);
  std::vector<ParameterSpec> table;
  for (const Parameter& p : parameters.all()) table.push_back(p.spec);
  require_tensors(file, path, table);
  for (const Parameter& p : parameters.all()) {
    const Span<const std::byte> bytes = file.bytes(*file.find(p.spec.name));
    const Tensor values = at::empty(p.spec.shape, at::TensorOptions(at::kFloat));
    std::memcpy(values.data_ptr(), bytes.data(), bytes.size());
    Tensor target = p.tensor;
    target.copy_(values);
  }
}

LoadedModel load_model(const std::string& folder, at::Device device) {
  LoadedModel loaded;
  loaded.state = load_state(folder);
  const CheckpointState& s = loaded.state;
  {
    // Before anything is allocated: state.json may ask for more than its tensors have.
    const std::string path = folder_to_read(folder) + "/model.safetensors";
    const SafetensorsFile file = SafetensorsFile::open(path);
    const auto tensors = static_cast<int64_t>(file.tensors().size());
    if (s.config.model.backbone.n_layer > tensors)
      fail(fmt::format("{}: {} tensors are too few for n_layer = {}", path, tensors,
                       s.config.model.backbone.n_layer));
    require_tensors(file, path, parameter_table(s.config.model, s.vocab_size));
  }
  loaded.model = make_model(s.config.model, s.vocab_size, /*seed=*/0, device);
  load_parameters(folder, loaded.model->parameters());
  if (!s.tokenizer.is_null()) loaded.tokenizer = Tokenizer::from_json(s.tokenizer);
  if (loaded.tokenizer != nullptr && loaded.tokenizer->vocab_size() > s.vocab_size)
    fail(fmt::format("{}: the tokenizer has {} tokens, the model {}", folder,
                     loaded.tokenizer->vocab_size(), s.vocab_size),
         "take another checkpoint of the run");
  return loaded;
}

}  // namespace fathom
