#include "fathom/train/recipe/fits_memory.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>

#include "fathom/base/error.h"
#include "fathom/base/text.h"
#include "fathom/model/spec/parameter_table.h"
#include "fathom/train/recipe/freeze.h"
#include "fathom/train/recipe/optimizer_rules.h"

namespace fathom {
namespace {

constexpr double kNumber = 4, kId = 8;  // bytes

// Of the machine or of the control group; and what can be swapped out.
std::optional<double> memory_of_machine(const FileReader& read) {
  const std::optional<Memory> memory = free_memory(read);
  if (!memory) return std::nullopt;
  const std::string meminfo = read("/proc/meminfo");
  double swap = 0;
  if (const size_t at = meminfo.find("SwapTotal:"); at != std::string::npos)
    swap = 1024 * std::strtod(meminfo.c_str() + at + 10, nullptr);
  return static_cast<double>(memory->total) + swap;
}

bool on_this_machine(const RunConfig& config) {
  return config.training.device.rfind("cuda", 0) != 0;
}

// The key that a model's size comes from most.
std::string largest_key(const RunConfig& config, int64_t vocab_size) {
  std::map<std::string, double> sizes;
  for (const ParameterSpec& spec : parameter_table(config.model, vocab_size)) {
    const bool rows = spec.part == Part::kTokenTable || spec.part == Part::kHead;
    const char* key = spec.part == Part::kPositionTable ? "block_size"
                      : rows                            ? "vocab_size"
                                                        : "n_layer";
    sizes[key] += static_cast<double>(spec.count());
  }
  const auto largest = std::max_element(sizes.begin(), sizes.end(),
                                        [](auto& a, auto& b) { return a.second < b.second; });
  return "n_embd or " + largest->first;
}

void refuse(const std::string& what, double need, double there, const std::string& lower) {
  misuse(fmt::format("{}: at least {}, and this machine has {}", what, human_bytes(need),
                     human_bytes(there)),
         fmt::format("a smaller {} needs less", lower));
}

}  // namespace

LeastMemory least_memory(const RunConfig& config, int64_t vocab_size, bool training) {
  LeastMemory least;
  const std::vector<ParameterSpec> table = parameter_table(config.model, vocab_size);
  std::vector<bool> frozen(table.size(), !training);
  if (training) frozen = frozen_parameters(config.optimizer, table);
  for (size_t i = 0; i < table.size(); ++i) {
    const auto weights = kNumber * static_cast<double>(table[i].count());
    least.weights += weights;
    if (frozen[i]) continue;
    least.weights += weights;  // the gradient
    least.weights += optimizer_bytes(optimizer_rule(config.optimizer.optimizer), {table[i]});
  }
  if (!training) return least;
  const auto rows = static_cast<double>(config.micro_batch_size()) *
                    static_cast<double>(config.model.backbone.block_size);
  // Inputs and targets; the last block's stream, and its queries, keys and values.
  least.pass = rows * (2 * kId + 4 * kNumber * static_cast<double>(config.model.backbone.n_embd));
  return least;
}

void require_memory(const RunConfig& config, int64_t vocab_size, bool training,
                    const FileReader& read) {
  const std::optional<double> there = memory_of_machine(read);
  if (!there || !on_this_machine(config)) return;
  const LeastMemory least = least_memory(config, vocab_size, training);
  if (least.total() <= *there) return;
  if (least.weights >= least.pass)
    refuse(
        training ? "the weights, their gradients and moments do not fit" : "the weights do not fit",
        least.weights, *there, largest_key(config, vocab_size));
  refuse(
      fmt::format("a forward pass of {} sequences of {} tokens does not fit",
                  with_commas(config.micro_batch_size()),
                  with_commas(config.model.backbone.block_size)),
      least.total(), *there,
      config.data.mini_batch_size ? "mini_batch_size or block_size" : "batch_size or block_size");
}

void require_memory(const RunConfig& config, int64_t vocab_size, double bytes,
                    const std::string& what, const std::string& lower, const FileReader& read) {
  require_memory(config, vocab_size, /*training=*/false, read);
  const std::optional<double> there = memory_of_machine(read);
  if (!there || !on_this_machine(config)) return;
  const double need = least_memory(config, vocab_size, /*training=*/false).total() + bytes;
  if (need > *there) refuse(what + " do not fit", need, *there, lower);
}

MemoryEstimate estimated_memory(const RunConfig& config, int64_t vocab_size) {
  MemoryEstimate memory = training_memory(config.model, vocab_size, config.micro_batch_size(),
                                          config.model.backbone.block_size);
  memory.optimizer = optimizer_bytes(optimizer_rule(config.optimizer.optimizer),
                                     parameter_table(config.model, vocab_size));
  return memory;
}

std::optional<std::string> memory_note(const std::vector<StageRun>& stages, int64_t vocab_size,
                                       const FileReader& read) {
  const std::optional<double> there = memory_of_machine(read);
  if (!there) return std::nullopt;
  double most = 0;
  const StageRun* largest = nullptr;
  for (const StageRun& stage : stages) {
    const double need = estimated_memory(stage.config, vocab_size).total();
    if (need > most) most = need, largest = &stage;
  }
  if (largest == nullptr || most <= *there) return std::nullopt;
  const std::string who =
      stages.size() > 1 ? fmt::format("the stage {}", in_quotes(largest->name)) : "training";
  std::string note = fmt::format("{} needs about {} by an estimate, and this machine has {}", who,
                                 human_bytes(most), human_bytes(*there));
  if (const int64_t sequences = largest->config.micro_batch_size(); sequences > 1)
    note += fmt::format("; a --mini_batch_size below {} makes a step of smaller passes",
                        with_commas(sequences));
  return note;
}

}  // namespace fathom
