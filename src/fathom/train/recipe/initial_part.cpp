#include "fathom/train/recipe/initial_part.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <map>

#include "fathom/base/error.h"
#include "fathom/base/text.h"
#include "fathom/io/checkpoint_folder.h"
#include "fathom/io/safetensors.h"
#include "fathom/train/recipe/run_checkpoint.h"
#include "fathom/train/recipe/run_state.h"

namespace fathom {
namespace {

constexpr size_t kMostToldTensors = 16;

std::string shape_text(const std::vector<int64_t>& shape) {
  return fmt::format("[{}]", fmt::join(shape, ", "));
}

// What is wrong with a tensor that becomes `ours`, of this shape; empty: nothing.
std::string misfit(const SafetensorsFile& file, const PartName& name,
                   const std::vector<int64_t>& shape) {
  const TensorInfo* info = file.find(name.theirs);
  if (info == nullptr)
    return fmt::format("{} is not there, for {} {}", name.theirs, name.ours, shape_text(shape));
  if (info->dtype != Dtype::F32)
    return fmt::format("{} is {}, and F32 is taken", name.theirs, dtype_name(info->dtype));
  if (info->shape == shape) return "";
  return fmt::format("{} is {} there and {} {} here", name.theirs, shape_text(info->shape),
                     name.ours, shape_text(shape));
}

std::map<std::string, std::vector<int64_t>> shapes_of(const ModelConfig& model,
                                                      int64_t vocab_size) {
  std::map<std::string, std::vector<int64_t>> shapes;
  for (const ParameterSpec& spec : parameter_table(model, vocab_size))
    shapes[spec.name] = spec.shape;
  return shapes;
}

// Of generated texts, where one model's end with the expression and the other's go on.
std::string told_of_results(const DataConfig& ours, const DataConfig& theirs) {
  const int64_t a = ours.numbers.result_digits, b = theirs.numbers.result_digits;
  if (!names_numbers(ours.dataset) || !names_numbers(theirs.dataset) || (a > 0) == (b > 0))
    return "";
  return fmt::format(
      "initial_part was trained with result_digits = {}, and the texts of this run have "
      "result_digits = {}: behind an expression they go on otherwise, and --result_digits={} where "
      "it is trained would show it the same texts",
      b, a, a);
}

// Of streams, where the other model has read one example a sequence.
std::string told_of_streams(const DataConfig& ours, const DataConfig& theirs) {
  if (!names_numbers(ours.dataset) || !names_numbers(theirs.dataset) ||
      ours.numbers.stream_share == 0 || theirs.numbers.stream_share > 0)
    return "";
  return fmt::format(
      "initial_part was trained on one example a sequence (stream_share = 0), and this run has "
      "streams (stream_share = {:g}), of which it has never read a second line: "
      "--stream_share=1 --stream_labels=True where it is trained would show it some",
      ours.numbers.stream_share);
}

// The tensors that the experiment names, of one checkpoint; `misfits`: what does not fit.
void look_for_part(const std::string& checkpoint, const RunConfig& config, int64_t vocab_size,
                   InitialPart& part, std::vector<std::string>& misfits) {
  const Architecture& architecture = *config.model.architecture;
  const RunState state = load_state(checkpoint);
  part.names = architecture.parts_of(config.model, state.config.model);
  if (part.names.empty())
    fail(fmt::format("the experiment {} names no tensors of a part", architecture.name),
         "parts_of in its presets.cpp names them, or says by an Error why there are none");
  const auto shapes = shapes_of(config.model, vocab_size);
  const SafetensorsFile file = SafetensorsFile::open(checkpoint + "/model.safetensors");
  std::map<std::string, std::string> taken;  // ours, and what becomes it
  for (const PartName& name : part.names) {
    const auto ours = shapes.find(name.ours);
    if (ours == shapes.end() || !taken.emplace(name.ours, name.theirs).second)
      fail(
          fmt::format("the experiment {} gives {} {}", architecture.name, in_quotes(name.ours),
                      ours == shapes.end() ? "a part's weights, and the model has none of that name"
                                           : "two tensors of a part"),
          "its parts_of in presets.cpp has to be mended");
    if (std::string why = misfit(file, name, ours->second); !why.empty())
      misfits.push_back(std::move(why));
  }
  part.notices.clear();
  if (architecture.tells_of_part)
    part.notices = architecture.tells_of_part(config.model, state.config.model);
  for (const auto& tells : {told_of_results, told_of_streams})
    if (std::string told = tells(config.data, state.config.data); !told.empty())
      part.notices.push_back(std::move(told));
}

}  // namespace

InitialPart find_initial_part(const std::string& run_or_checkpoint, const RunConfig& config,
                              int64_t vocab_size) {
  const Architecture* architecture = config.model.architecture.get();
  if (architecture == nullptr || !architecture->parts_of)
    misuse(
        fmt::format("initial_part = {}: {} has no part that another model's weights could become",
                    in_quotes(run_or_checkpoint), config.preset),
        "--initial_model starts from all weights of a model of the same parts");
  InitialPart part;
  part.checkpoint = checkpoint_or_run(run_or_checkpoint);
  std::vector<std::string> misfits;
  // Settings and tensors are of one checkpoint, also of a run that still saves.
  read_checkpoint(part.checkpoint, [&](const std::string& steady) {
    misfits.clear();
    look_for_part(steady, config, vocab_size, part, misfits);
  });
  if (misfits.empty()) return part;
  const size_t more = misfits.size() > kMostToldTensors ? misfits.size() - kMostToldTensors : 0;
  misfits.resize(misfits.size() - more);
  misuse(fmt::format("the weights of {} do not fit as a part of {}: {}{}", run_or_checkpoint,
                     config.preset, join(misfits, "; "),
                     more > 0 ? fmt::format("; and {} more", more) : ""),
         "`fathom describe` of both shows their settings: widths and sizes of the part must agree");
}

std::set<std::string> begins_anew(const std::string& checkpoint, const ModelConfig& config) {
  const Architecture* architecture = config.architecture.get();
  if (checkpoint.empty() || architecture == nullptr || !architecture->begins_anew) return {};
  const RunState state = load_state(checkpoint);
  const std::vector<std::string> names = architecture->begins_anew(config, state.config.model);
  return {names.begin(), names.end()};
}

}  // namespace fathom
