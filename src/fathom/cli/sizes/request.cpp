#include "fathom/cli/sizes/request.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "fathom/base/error.h"
#include "fathom/base/text.h"
#include "fathom/model/spec/depth_plan.h"
#include "fathom/train/recipe/fits_memory.h"
#include "fathom/train/recipe/registry.h"
#include "fathom/train/recipe/run_arguments.h"
#include "fathom/train/recipe/suggested_words.h"

namespace fathom {
namespace {

constexpr const char* kWhat =
    "How large the carry, what blocks add to it and the gradient that comes back are at each step "
    "of a model's walk, whether they grow, and whether numbers can hold them.";
constexpr const char* kExample = "fathom sizes quickstart --format=html --output=sizes.html";

void add_measure_fields(FieldList& list, SizesRequest& request) {
  list.section("sizes");
  list.add("untrained", request.untrained,
           "EXPERIMENT in place of RUN: its model as it begins, on random tokens; takes the keys "
           "of `fathom describe`");
  list.add("batches", request.batches, "batches of the split, its first ones")
      .at_least(1)
      .at_most(1'000'000);
  list.add("sequences", request.sequences,
           "sequences of a batch; None: as in training, or 1 with untrained")
      .at_least(1)
      .at_most(1 << 16);
  list.add("tokens", request.tokens,
           "tokens of a sequence at most; None: as many as the model can see")
      .at_least(2)
      .at_most(1 << 24);
  list.add("gradients", request.gradients, "the loss's gradients, by layer and by part");
  list.add("eps", request.eps, "an attention's value below this counts as near zero").above(0);
  list.add("rank_rows", request.rank_rows, "rows whose singular values give the effective rank")
      .at_least(1)
      .at_most(1 << 14);
  list.add("bins", request.bins, "of the histograms of a and m").at_least(2).at_most(1000);
}

void add_output_fields(FieldList& list, SizesRequest& request) {
  add_fields(list, request.output);
  list.add("csv", request.csv, "a file for the numbers of the steps, a line a step and value")
      .path();
}

// Of a checkpoint; tokens never halt here, so it has no thresholds.
void add_choice_fields(FieldList& list, SizesRequest& request) {
  list.section("model");
  list.add("checkpoint", request.model.checkpoint,
           "best, last or a checkpoint's folder; auto: best, else last")
      .path()
      .suggests(suggested_checkpoints);
  list.add("device", request.model.device, "auto, cpu, cuda or cuda:N").suggests(suggested_devices);
  list.add("threads", request.model.threads, "processor threads, 0: all this process may use")
      .at_least(0)
      .at_most(kMostThreads);
  list.section("data");
  list.add("dataset", request.dataset, "another corpus of the same tokenizer; empty: the run's own")
      .path()
      .suggests(suggested_corpora);
  list.add("split", request.split, "train or val");
}

void check_tokens(const SizesRequest& request, const RunConfig& config) {
  const int64_t sees = config.model.backbone.block_size;
  if (request.tokens.value_or(sees) > sees)
    misuse(fmt::format("tokens = {}, {} sees {}", *request.tokens, request.model.run, sees),
           "give fewer, or leave out --tokens");
}

SizesRequest finished(SizesRequest request, const FieldList& list) {
  settle(list, request.output);
  require_own_file(request.csv, request.output);
  for (std::string& notice : notices_of(list)) request.notices.push_back(std::move(notice));
  return request;
}

std::optional<SizesRequest> parse_of_run(const Arguments& arguments) {
  CommandLine line("sizes", "RUN [--key=value ...]", kWhat, kExample);
  SizesRequest request;
  line.positional("RUN", request.model.run, "a run's name, or its folder");
  line.suggests(suggested_runs);
  FieldList list;
  add_choice_fields(list, request);
  add_measure_fields(list, request);
  add_output_fields(list, request);
  if (!parse_into(line, arguments, list)) return std::nullopt;
  if (request.split != "train" && request.split != "val")
    misuse(fmt::format("split = {} is unknown, allowed: train, val", quoted_start(request.split)),
           "val has text that the run was not trained on");
  settle(request.model);
  require_next_token(request.model, "sizes");
  check_tokens(request, settle_state(request.model).config);
  return finished(std::move(request), list);
}

// What a model that nobody trains has no use for.
void add_needs_of_training(FieldList& list) {
  const std::set<std::string> act = {"dataset", "seed", "device", "threads"};
  const std::set<std::string> of_training = {"data",     "optimizer", "spectral",
                                             "schedule", "training",  "guards"};
  for (const Field& field : list.all())
    if (of_training.count(field.section()) == 1 && act.count(field.name()) == 0)
      list.find(field.name())->needs("a training: the model is looked at as it begins", [] {
        return false;
      });
}

std::optional<SizesRequest> parse_of_preset(const Arguments& arguments) {
  CommandLine line("sizes", "EXPERIMENT --untrained [CONFIG_FILE ...] [--key=value ...]", kWhat,
                   "fathom sizes quickstart --untrained --tokens=13");
  SizesRequest request;
  std::string config_file;
  line.positional("EXPERIMENT", request.model.run, "a preset that `fathom list` shows");
  line.suggests(suggested_presets);
  line.takes_config_files();
  const auto make_list = [&] {
    FieldList list;
    add_measure_fields(list, request);
    add_output_fields(list, request);
    list.add("config", config_file, "a TOML or nanoGPT config file; a bare path does the same");
    add_fields(list, request.config);
    add_needs_of_training(list);
    return list;
  };
  if (const std::string name = named_preset(arguments); !name.empty())
    request.config = preset_config(name);
  const auto settings = line.parse(arguments, make_list());
  if (!settings) return std::nullopt;
  request.config = preset_config(request.model.run);
  FieldList list = make_list();
  request.notices = apply_settings(*settings, request.model.run, list);
  RunConfig& config = request.config;
  for (std::string& notice : resolve(list, config)) request.notices.push_back(std::move(notice));
  request.vocab_size = settled_vocab_size(config, likely_corpus_vocab(config));
  const DepthPlan plan = make_depth_plan(config.model);
  if (!predicts_next_token(plan))
    misuse(fmt::format("{} {}: random tokens are no text of its", request.model.run,
                       plan.answers.empty() ? "is not causal" : "answers " + plan.answers),
           "train it, and look at the run's checkpoint without --untrained");
  check_tokens(request, config);
  check_device_name(config.training.device);
  require_memory(config, request.vocab_size, /*training=*/false);
  require_room(request, config, request.vocab_size, request.sequences_of(config));
  settle(list, request.output);
  require_own_file(request.csv, request.output);
  return request;
}

// As the command line will be read: the last one counts, and one that has no meaning is refused
// there.
bool asks_for_untrained(const Arguments& arguments) {
  bool asked = false;
  FieldList list;
  list.section("sizes");
  list.add("untrained", asked, "");
  CommandLine line("sizes", "", "", "");
  Arguments own;
  for (size_t i = 0; i < arguments.size() && arguments[i] != "--"; ++i) {
    const std::string& word = arguments[i];
    if (word != "--untrained" && word.rfind("--untrained=", 0) != 0) continue;
    own.push_back(word);
    const bool has_next = i + 1 < arguments.size() && word == "--untrained";
    if (has_next && (arguments[i + 1] == "false" || arguments[i + 1] == "False"))
      own.push_back(arguments[i + 1]);
  }
  try {
    parse_into(line, own, list);
  } catch (const Error&) {
    return false;
  }
  return asked;
}

}  // namespace

std::optional<SizesRequest> parse_sizes(const Arguments& arguments) {
  if (asks_for_untrained(arguments)) return parse_of_preset(arguments);
  std::optional<SizesRequest> request = parse_of_run(arguments);
  if (request && request->untrained)
    misuse("untrained = true is said in other words than --untrained", "say --untrained");
  return request;
}

}  // namespace fathom
