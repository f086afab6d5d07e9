#include "fathom/cli/loops/request.h"

#include <fmt/format.h>

#include <sstream>

#include "fathom/base/error.h"
#include "fathom/base/text.h"
#include "fathom/io/files.h"
#include "fathom/model/spec/loop_counts.h"
#include "fathom/study/asked/loop_lists.h"
#include "fathom/study/asked/typed_text.h"
#include "fathom/train/recipe/suggested_words.h"

namespace fathom {
namespace {

constexpr uint64_t kMostPromptBytes = 1 << 20;
constexpr size_t kMostPrompts = 64;

// A prompt a line; empty lines are none.
std::vector<std::string> read_prompts(const std::string& path) {
  std::vector<std::string> prompts;
  std::istringstream lines(read_once(path, kMostPromptBytes));
  for (std::string line; std::getline(lines, line);) {
    if (!line.empty() && line.back() == '\r') line.pop_back();
    if (!trim(line).empty()) prompts.push_back(line);
  }
  if (prompts.empty() || prompts.size() > kMostPrompts)
    misuse(
        fmt::format("{} has {} prompts, 1 to {} are looked at", path, prompts.size(), kMostPrompts),
        "write one a line");
  return prompts;
}

struct Texts {
  std::string text, prompts, counts = "1,5,15,30", sweep, jacobian_iterations;
};

void add_text_fields(FieldList& list, LoopsRequest& request, Texts& texts) {
  const char* const kSplit = "a text of the corpus, not --text or --prompts";
  const auto of_split = [&texts] { return texts.text.empty() && texts.prompts.empty(); };
  list.section("text");
  list.add("dataset", request.dataset, "another corpus of the same tokenizer; empty: the run's own")
      .path()
      .needs(kSplit, of_split)
      .suggests(suggested_corpora);
  list.add("split", request.split, "train or val").needs(kSplit, of_split);
  list.add("texts", request.texts, "windows of the split, its first ones")
      .at_least(1)
      .at_most(64)
      .needs(kSplit, of_split);
  list.add("text", texts.text, "this text, or FILE:path, in place of the split's")
      .any_bytes()
      .alias("start");
  list.add("prompts", texts.prompts, "a file with a text a line, in place of the split's").path();
  list.add("tokens", request.tokens,
           "of each text at most; None: 64 of a split, else all that the model can see")
      .at_least(2)
      .at_most(1 << 24);
}

void add_loop_fields(FieldList& list, LoopsRequest& request, Texts& texts) {
  const auto sweeps = [&texts] { return !texts.sweep.empty(); };
  list.section("loops");
  list.add("counts", texts.counts, "iterations of every loop group; trajectories have the most");
  list.add("pca", request.components, "principal axes of the trajectories").at_least(2).at_most(3);
  list.add("zoom", request.zoom, "last iterations that are drawn once more")
      .at_least(2)
      .at_most(4096);
  list.add("token_pictures", request.token_pictures,
           "a picture of each drawn token's way alone too, in HTML, SVG and PNG");
  list.add("box_pca", request.box_pca,
           "box-counting dimensions of tokens' ways on the principal axes too");
  list.add("jacobian", request.jacobian,
           "spectral radius and operator norm of iterations as maps of a token's state");
  list.add("block_only", request.block_only,
           "of the layers alone: no context, no adapter, no injection")
      .needs("jacobian = true", [&request] { return request.jacobian; });
  list.add("jacobian_tokens", request.jacobian_tokens,
           "tokens of the first text that it is taken at, evenly apart, the last among them")
      .at_least(1)
      .at_most(1 << 16)
      .needs("jacobian = true", [&request] { return request.jacobian; });
  list.add("jacobian_iterations", texts.jacobian_iterations,
           "states that iterations begin with, for example 1,5,29; empty: those that tables show")
      .needs("jacobian = true", [&request] { return request.jacobian; });
  list.add("seeds", request.seeds,
           "draws of the loops' first states; None: 4 where they are drawn, else 1")
      .at_least(1)
      .at_most(256);
  list.add("noise", request.noise, "loop_noise_scale in place of the model's; None: as trained")
      .at_least(0)
      .at_most(1e6);
  list.add(
      "sweep", texts.sweep,
      "thresholds, for example 0.1,0.03,0.01: texts token by token with a cache, by counts and "
      "by the rule");
  list.add("rule", request.rule, "loop_halt_rule of the sweep; empty: the model's, else rel_latent")
      .needs("a sweep", sweeps);
  for (const char* key : {"threshold", "thresholds"}) list.find(key)->needs("a sweep", sweeps);
  list.add("weights", request.weights, "the largest singular value of every matrix");
}

}  // namespace

std::optional<LoopsRequest> parse_loops(const Arguments& arguments) {
  CommandLine line(
      "loops", "RUN [--key=value ...]",
      "Where a model's loops take the tokens of a text, and whether they settle.\n\n"
      "From a state x to the next one x', as means over tokens: change |x' - x|,\n"
      "relative |x' - x| / |x'|, cosine between this change and the one before,\n"
      "norm |x'|, KL drift KL(p(x') || p(x)) of what the model would answer, nats.\n"
      "Drift to loop: from a group's last state to the next group's first, over the\n"
      "mean change within the group. Box dimension: how a token's way fills space,\n"
      "0 a point, 1 a line. Below 1 an iteration brings states that are near one\n"
      "another nearer: the operator norm at once, the spectral radius in the long run.",
      "fathom loops round --jacobian --format=html --output=loops.html");
  LoopsRequest request;
  Texts texts;
  line.positional("RUN", request.model.run, "a run's name, or its folder");
  line.suggests(suggested_runs);
  FieldList list;
  add_fields(list, request.model);
  add_text_fields(list, request, texts);
  add_loop_fields(list, request, texts);
  add_fields(list, request.output);
  list.add("csv", request.csv, "a file for the trajectories, a line a token and iteration").path();
  list.add("convergence_csv", request.convergence_csv,
           "a file for how far states go, a line an iteration of a group and a step of the walk")
      .path();
  list.add("numbers_csv", request.numbers_csv,
           "a file for box dimensions, drifts, Jacobians, spreads and axes, a line a number")
      .path();
  if (!parse_into(line, arguments, list)) return std::nullopt;
  if (list.given("text") && list.given("prompts"))
    misuse("text and prompts both say what is looked at", "leave out one of them");
  if (list.given("text")) {
    request.text = start_text(texts.text);
    if (request.text->empty()) misuse("text is empty", "give some, or leave out --text");
  }
  if (list.given("prompts")) request.prompts = read_prompts(texts.prompts);
  request.counts = loop_counts_of("counts", texts.counts);
  if (request.jacobian && !request.counts.empty() && request.counts.back() < 2)
    misuse("jacobian is of an iteration that begins with a state, and counts ends at 1",
           "take --counts=2 or more");
  if (!texts.jacobian_iterations.empty()) {
    request.jacobian_iterations = loop_counts_of("jacobian_iterations", texts.jacobian_iterations);
    if (request.jacobian && request.jacobian_iterations.back() >= request.counts.back())
      misuse(
          fmt::format("jacobian_iterations has {}, and of {} iterations the last one begins with "
                      "state {}",
                      request.jacobian_iterations.back(), request.counts.back(),
                      request.counts.back() - 1),
          fmt::format("take --counts={} or more", request.jacobian_iterations.back() + 1));
  }
  if (!texts.sweep.empty()) request.sweep = thresholds_of("sweep", texts.sweep);
  settle(list, request.output);
  require_own_files({{"csv", request.csv},
                     {"convergence_csv", request.convergence_csv},
                     {"numbers_csv", request.numbers_csv}},
                    request.output);
  settle(request.model);
  require_next_token(request.model, "loops");
  const ModelConfig model = settle_state(request.model).config.model;
  require_loops(make_depth_plan(model), request.model.run);
  with_noise(model, request.noise);  // throws
  if (!request.sweep.empty()) {
    if (request.rule.empty()) request.rule = loop_rule_of(model);
    for (const double threshold : request.sweep) with_loop_rule(model, request.rule, threshold);
  }
  request.notices = notices_of(list);
  return request;
}

}  // namespace fathom
