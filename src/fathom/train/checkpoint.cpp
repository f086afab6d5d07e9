#include "fathom/train/checkpoint.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cstring>
#include <nlohmann/json.hpp>
#include <set>

#include "fathom/base/error.h"
#include "fathom/base/text.h"
#include "fathom/data/xxh3_stream.h"
#include "fathom/io/checkpoint_folder.h"
#include "fathom/io/json_text.h"
#include "fathom/io/safetensors.h"

namespace fathom {
namespace {

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

struct TensorShape {
  std::string name;
  std::vector<int64_t> shape;
};

void require_tensor(const SafetensorsFile& file, const std::string& path, const TensorShape& wanted,
                    const char* hint = "") {
  const TensorInfo* info = file.find(wanted.name);
  if (info == nullptr) fail(fmt::format("{}: {} is missing", path, wanted.name), hint);
  if (info->shape != wanted.shape || info->dtype != Dtype::F32)
    fail(fmt::format("{}: {} is {} [{}], the model needs F32 [{}]", path, wanted.name,
                     dtype_name(info->dtype), fmt::join(info->shape, ", "),
                     fmt::join(wanted.shape, ", ")),
         hint);
}

// The file must hold exactly these tensors, in float32.
void require_tensors(const SafetensorsFile& file, const std::string& path,
                     const std::vector<TensorShape>& wanted, const char* hint = "") {
  std::set<std::string> known;
  for (const TensorShape& w : wanted) {
    known.insert(w.name);
    require_tensor(file, path, w, hint);
  }
  for (const TensorInfo& info : file.tensors())
    if (known.count(info.name) == 0)
      fail(fmt::format("{}: the model has no {}", path, quoted_start(info.name)), hint);
}

Tensor read_tensor(const SafetensorsFile& file, const std::string& name) {
  const TensorInfo& info = *file.find(name);
  const Span<const std::byte> bytes = file.bytes(info);
  Tensor values = at::empty(info.shape, at::TensorOptions(at::kFloat));
  std::memcpy(values.data_ptr(), bytes.data(), bytes.size());
  return values;
}

void copy_from(const SafetensorsFile& file, const std::string& name, Tensor target) {
  const at::NoGradGuard no_grad;
  target.copy_(read_tensor(file, name));
}

std::vector<TensorShape> shapes_of(const std::vector<ParameterSpec>& table) {
  std::vector<TensorShape> shapes;
  for (const ParameterSpec& spec : table) shapes.push_back({spec.name, spec.shape});
  return shapes;
}

// What another model may lack, where one starts from its weights: an experiment's own parameters,
// and those that it names.
struct Lacks {
  const std::set<std::string>& named;
  std::vector<std::string>& missing;  // takes the names

  bool takes(const SafetensorsFile& file, const ParameterSpec& spec) const {
    const bool may_be_missing = spec.part == Part::kOwn || named.count(spec.name) > 0;
    if (!may_be_missing || file.find(spec.name) != nullptr) return false;
    missing.push_back(spec.name);
    return true;
  }
};
constexpr const char* kOtherParts =
    "it is another model than the one to be trained: `fathom describe` of both shows their "
    "settings, and those that shape weights must agree";

// `lacks` null: nothing may be missing.
void copy_parameters(const std::string& folder, ParameterSet& parameters,
                     const Lacks* lacks = nullptr) {
  const std::string path = folder + "/model.safetensors";
  const SafetensorsFile file = SafetensorsFile::open(path);
  std::vector<Parameter> wanted;
  for (const Parameter& p : parameters.all())
    if (lacks == nullptr || !lacks->takes(file, p.spec)) wanted.push_back(p);
  std::vector<ParameterSpec> table;
  for (const Parameter& p : wanted) table.push_back(p.spec);
  require_tensors(file, path, shapes_of(table), lacks == nullptr ? "" : kOtherParts);
  for (const Parameter& p : wanted) copy_from(file, p.spec.name, p.tensor);
  file.require_whole();
}

TakenPart copy_part(const std::string& folder, const TensorNames& names, ParameterSet& parameters) {
  const std::string path = folder + "/model.safetensors";
  const SafetensorsFile file = SafetensorsFile::open(path);
  for (const auto& [ours, theirs] : names)
    require_tensor(file, path, {theirs, parameters.at(ours).sizes().vec()});
  TakenPart taken;
  Xxh3 hash;
  std::vector<Tensor> values;
  for (const auto& [ours, theirs] : names) {
    values.push_back(read_tensor(file, theirs));
    hash.add(values.back().data_ptr(), values.back().nbytes());
    ++taken.tensors;
    taken.numbers += values.back().numel();
  }
  // What was read of a file that shrank meanwhile is not its numbers.
  file.require_whole();
  const at::NoGradGuard no_grad;
  for (size_t i = 0; i < names.size(); ++i) {
    Tensor target = parameters.at(names[i].first);
    target.copy_(values[i]);
  }
  taken.checksum = xxh3_hex(hash.value());
  return taken;
}

// "<parameter>.<what is kept>" of all parameters.
void each_state(const std::vector<Optimizer::State>& states,
                const std::function<void(const std::string& name, const Optimizer::State& of,
                                         const Tensor& tensor)>& visit) {
  for (const Optimizer::State& s : states)
    for (size_t i = 0; i < s.tensors.size(); ++i)
      visit(s.name + "." + s.about[i].name, s, s.tensors[i]);
}

void copy_optimizer(const std::string& folder, const Optimizer& optimizer) {
  const std::string path = folder + "/optimizer.safetensors";
  const SafetensorsFile file = SafetensorsFile::open(path);
  std::vector<TensorShape> shapes;
  each_state(optimizer.state(),
             [&](const std::string& name, const Optimizer::State&, const Tensor& t) {
               shapes.push_back({name, t.sizes().vec()});
             });
  require_tensors(file, path, shapes);
  each_state(optimizer.state(),
             [&](const std::string& name, const Optimizer::State& of, const Tensor& t) {
               if (!of.frozen && !of.elsewhere) copy_from(file, name, t);
             });
  file.require_whole();
}

// Some layers have the same modules: there may be more of them than tensors.
bool shares_layers(const ModelConfig& model) {
  const int64_t n_layer = model.backbone.n_layer;
  for (const ModuleClass which : {ModuleClass::kAttention, ModuleClass::kMlp, ModuleClass::kNorm})
    if (instances_of(model.wiring, which, n_layer).count < n_layer) return true;
  return false;
}

LoadedModel read_model(const std::string& folder, at::Device device,
                       const std::function<void(ModelConfig&)>& change) {
  LoadedModel loaded;
  loaded.state = load_state(folder);
  if (change) change(loaded.state.config.model);
  const RunState& s = loaded.state;
  {
    // Before anything is allocated: state.json may ask for more than its tensors have.
    const std::string path = folder + "/model.safetensors";
    const SafetensorsFile file = SafetensorsFile::open(path);
    const auto tensors = static_cast<int64_t>(file.tensors().size());
    if (!shares_layers(s.config.model) && s.config.model.backbone.n_layer > tensors)
      fail(fmt::format("{}: {} tensors are too few for n_layer = {}", path, tensors,
                       s.config.model.backbone.n_layer));
    require_tensors(file, path, shapes_of(parameter_table(s.config.model, s.vocab_size)));
  }
  loaded.model = make_model(s.config.model, s.vocab_size, /*seed=*/0, device);
  copy_parameters(folder, loaded.model->parameters());
  if (s.tokenizer != nullptr) loaded.tokenizer = Tokenizer::from_json(*s.tokenizer);
  if (loaded.tokenizer != nullptr && loaded.tokenizer->vocab_size() > text_vocab(s))
    fail(fmt::format("{}: the tokenizer has {} tokens, the model {}", folder,
                     loaded.tokenizer->vocab_size(), text_vocab(s)),
         "take another checkpoint of the run");
  return loaded;
}

}  // namespace

void write_checkpoint(CheckpointWriter& writer, const RunState& state,
                      const ParameterSet& parameters, Optimizer& optimizer,
                      const std::vector<Optimizer::State>* whole) {
  const Answering answering(optimizer);
  TensorList model, kept;
  for (const Parameter& p : parameters.all()) model.add(p.spec.name, p.tensor);
  const std::vector<Optimizer::State>& states = whole != nullptr ? *whole : optimizer.state();
  each_state(states, [&](const std::string& name, const Optimizer::State&, const Tensor& t) {
    kept.add(name, t);
  });
  model.write(writer.file("model.safetensors"));
  kept.write(writer.file("optimizer.safetensors"));
  write_file_durably(writer.file("state.json"), as_bytes(json_text(to_json(state), 1) + "\n"));
}

std::vector<std::string> load_parameters(const std::string& folder, ParameterSet& parameters,
                                         const std::set<std::string>& begin_anew) {
  std::vector<std::string> missing;
  const Lacks lacks = {begin_anew, missing};
  read_checkpoint(folder, [&](const std::string& steady) {
    missing.clear();
    copy_parameters(steady, parameters, &lacks);
  });
  return missing;
}

TakenPart load_part(const std::string& folder, const TensorNames& names, ParameterSet& parameters) {
  TakenPart taken;
  read_checkpoint(folder,
                  [&](const std::string& steady) { taken = copy_part(steady, names, parameters); });
  return taken;
}

RunState load_checkpoint(const std::string& folder, ParameterSet& parameters,
                         Optimizer& optimizer) {
  optimizer.reset();
  const Answering answering(optimizer);
  RunState state;
  bool is_its_own = true;
  read_checkpoint(folder, [&](const std::string& steady) {
    state = load_state(steady);
    is_its_own = state.config.optimizer.optimizer == optimizer.rule().name;
    copy_parameters(steady, parameters);
    // A model that was made elsewhere has none, and the manifest would tell of a lost file.
    const bool begins = state.optimizer_steps == 0 &&
                        kind_of(steady + "/optimizer.safetensors") == PathKind::kNothing;
    if (is_its_own && !begins) copy_optimizer(steady, optimizer);
  });
  if (is_its_own) optimizer.set_steps(state.optimizer_steps, state.moments_begun);
  return state;
}

LoadedModel load_model(const std::string& folder, at::Device device,
                       const std::function<void(ModelConfig&)>& change) {
  LoadedModel loaded;
  read_checkpoint(folder,
                  [&](const std::string& steady) { loaded = read_model(steady, device, change); });
  return loaded;
}

}  // namespace fathom
