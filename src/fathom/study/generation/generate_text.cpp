#include "fathom/study/generation/generate_text.h"

#include <ATen/ops/softmax.h>
#include <ATen/ops/topk.h>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <map>
#include <nlohmann/json.hpp>

#include "fathom/base/error.h"
#include "fathom/base/stop_signal.h"
#include "fathom/base/text.h"
#include "fathom/data/shift.h"
#include "fathom/decode/generate.h"
#include "fathom/io/json_text.h"
#include "fathom/model/device.h"
#include "fathom/model/spec/early_policy.h"
#include "fathom/report/render.h"
#include "fathom/study/asked/typed_text.h"
#include "fathom/study/chosen_model.h"
#include "fathom/study/generation/pages.h"
#include "fathom/study/generation/told.h"
#include "fathom/study/guess_layers.h"
#include "fathom/track/console.h"
#include "fathom/track/terminal.h"
#include "fathom/train/checkpoint.h"

namespace fathom {
namespace {

// Thrown out of the midst of generating; never leaves this file.
struct Stopped {};

GenerateOptions options_of(const GenerateRequest& request, const LoadedModel& loaded) {
  const ModelConfig& config = loaded.state.config.model;
  GenerateOptions options;
  options.sampler = request.sampler;
  options.max_new_tokens = request.max_new_tokens;
  options.window = request.window;
  if (options.window.capacity == 0) options.window.capacity = config.backbone.block_size;
  Window seen = options.window;
  if (config.ahead.predict_ahead) {
    options.shift_id = shift_id(text_vocab(loaded.state), 1);
    ++seen.pinned;
  }
  if (options.shift_id && options.window.capacity <= seen.pinned)
    misuse(fmt::format("a window of {} tokens has no place for text beside the shift token{}",
                       options.window.capacity,
                       options.window.pinned > 0
                           ? fmt::format(" and {} pinned ones", options.window.pinned)
                           : std::string()),
           "take a larger --window or fewer --pinned");
  validate(seen, config.backbone.block_size);
  options.vocab_size = loaded.tokenizer->vocab_size();
  options.seed = static_cast<uint64_t>(request.seed);
  options.exit = request.exit;
  options.draft = request.draft;
  options.draft_tokens = request.draft_tokens;
  return options;
}

void print(const report::Report& report, report::Format format) {
  fmt::print("{}",
             report::render(report, format,
                            {terminal_width(stdout), can_colour(stdout), !is_terminal(stdout)}));
}

// `--lookahead`: the likeliest tokens at one place behind the text.
void print_ahead(const GenerateRequest& request, const Tokenizer& tokenizer,
                 const Tensor& scores_V) {
  constexpr int64_t kShown = 10;
  const Tensor p_V = at::softmax(scores_V.to(at::kDouble), -1);
  const auto [p_K, token_K] = at::topk(p_V, std::min(kShown, p_V.size(0)));
  report::Report report;
  report.title = fmt::format("{} tokens ahead", request.lookahead);
  nlohmann::json all = nlohmann::json::array();
  report::Table table;
  table.columns = {{"token", report::Align::kLeft},
                   {"probability", report::Align::kRight, {report::NumberForm::Kind::kPercent, 2}}};
  for (int64_t k = 0; k < p_K.size(0); ++k) {
    const auto id = token_K[k].item<int64_t>();
    const auto probability = p_K[k].item<double>();
    const auto unsigned_id = static_cast<uint32_t>(id);
    const std::string text = tokenizer.decode({&unsigned_id, 1});
    all.push_back({{"id", id}, {"text", text}, {"probability", probability}});
    table.rows.push_back({quoted_start(text), probability});
  }
  report.values = {{"run", request.model.run},
                   {"checkpoint", request.model.folder},
                   {"lookahead", request.lookahead},
                   {"tokens", all}};
  report.add(report::Paragraph{
      fmt::format("{} behind the text:", request.lookahead == 1
                                             ? std::string("the token")
                                             : fmt::format("{} tokens", request.lookahead))});
  report.add(std::move(table));
  print(report, request.json ? report::Format::kJson : report::Format::kTerminal);
}

// `--show_layers`: of each of the first tokens that the first text got, what every layer would have
// said in its place.
std::vector<GuessTable> layers_of_tokens(const GenerateRequest& request, const LoadedModel& loaded,
                                         const NextTokenModel& model,
                                         const GenerateOptions& options, std::vector<int64_t> text,
                                         const std::vector<int64_t>& added) {
  constexpr int64_t kPlaces = 8;
  std::vector<GuessTable> tables;
  if (request.show_layers == 0) return tables;
  const auto* walked = dynamic_cast<const DepthModel*>(&model);
  if (walked == nullptr)
    fail(fmt::format("the layers of {} cannot be shown: its model is no depth walk",
                     request.model.run),
         "leave --show_layers out");
  const auto room = static_cast<size_t>(options.window.capacity - (options.shift_id ? 1 : 0));
  for (size_t i = 0; i < added.size() && static_cast<int64_t>(i) < request.show_layers; ++i) {
    const size_t seen = std::min(text.size(), room);
    tables.push_back(guess_layers(*walked, *loaded.tokenizer,
                                  {text.end() - int64_t(seen), text.end()}, kPlaces,
                                  options.shift_id));
    text.push_back(added[i]);
  }
  return tables;
}

void print_layers(const std::vector<GuessTable>& tables) {
  if (tables.empty()) return;
  report::Report report;
  for (size_t i = 0; i < tables.size(); ++i)
    add_guesses(tables[i], fmt::format("token {}", i + 1), report);
  print(report, report::Format::kTerminal);
}

// What is shown of the texts, and what ends them.
PagesOptions pages_of(const GenerateRequest& request, const LoadedModel& loaded,
                      const std::string& start) {
  PagesOptions pages;
  pages.start = start;
  pages.count = request.num_samples;
  pages.silent = request.json;
  pages.stop = request.stop;
  if (request.end_of_text) pages.no_text = loaded.tokenizer->end_of_text();
  const ModelConfig& config = loaded.state.config.model;
  if (config.halting.acts() && request.exit == Exit::kFirstConfident && can_colour(stdout)) {
    const DepthPlan plan = make_depth_plan(config);
    each_layer(plan, [&](const LayerSpec& layer) {
      if (layer.readout) pages.coloured_layers.push_back(layer.readout->layer);
    });
  }
  return pages;
}

int grow_texts(const GenerateRequest& request, const LoadedModel& loaded,
               const NextTokenModel& model, GenerateOptions options,
               const std::vector<std::vector<int64_t>>& texts, const std::string& start) {
  Pages pages(*loaded.tokenizer, pages_of(request, loaded, start));
  std::vector<bool> stopped(texts.size(), false);
  options.ends = [&](size_t text, int64_t token) {
    return stopped[text] ||
           (request.end_of_text && loaded.tokenizer->end_of_text() == static_cast<uint32_t>(token));
  };
  std::map<int64_t, int64_t> answers;  // by layer
  std::vector<int64_t> added;          // to the first text
  GenerateReport report;
  const StopSignal signal;
  const auto begin = std::chrono::steady_clock::now();
  const auto seconds = [&] {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  };
  try {
    report = generate(model, texts, options, [&](size_t text, int64_t token, int64_t layer) {
      ++answers[layer];
      if (text == 0) added.push_back(token);
      stopped[text] = !pages.add(text, token, layer);
      if (StopSignal::received() != 0) throw Stopped();
    });
  } catch (const Stopped&) {
    pages.finish();
    if (request.json)
      fmt::print("{}\n", json_text(stopped_json(request, pages.texts(), answers, seconds()), 2));
    return 128 + StopSignal::received();
  }
  const double took = seconds();
  pages.finish();
  const std::vector<GuessTable> layers =
      layers_of_tokens(request, loaded, model, options, texts[0], added);
  if (request.json) {
    nlohmann::json all = report_json(request, pages.texts(), answers, report, took);
    for (const GuessTable& table : layers) all["layers"].push_back(guess_numbers(table));
    fmt::print("{}\n", json_text(all, 2));
    return 0;
  }
  print_layers(layers);
  const ModelConfig& config = loaded.state.config.model;
  const bool halts = config.halting.acts() || config.loop_halting.acting_rule() != HaltRule::kNone;
  if (halts && report.dense > 0) print_answers(request, config.halting, pages, answers, report);
  if (options.draft != Draft::kNone) print_drafts(report);
  print_speed(report, took);
  const bool is_empty = std::all_of(pages.texts().begin(), pages.texts().end(),
                                    [&](const std::string& text) { return text == start; });
  if (is_empty && report.tokens > 0)
    say_note(
        "nothing was written behind the start: it was followed at once by what ends a text; "
        "--end_of_text=False goes on, another --seed or --start may");
  return 0;
}

// What the texts begin with. Where nothing was asked for: a line break, or else the token of a
// text's end, which stands before each text in training, or else the vocabulary's first token.
std::vector<int64_t> start_tokens(const GenerateRequest& request, const Tokenizer& tokenizer,
                                  std::string& text) {
  text = request.start.value_or("\n");
  std::vector<uint32_t> ids;
  try {
    ids = encode_typed(tokenizer, text);
  } catch (const Error&) {
    if (request.start) throw;
  }
  if (ids.empty()) {
    const uint32_t first = tokenizer.end_of_text().value_or(0);
    ids = {first};
    text = tokenizer.end_of_text() ? "" : tokenizer.decode({&first, 1});
  }
  return {ids.begin(), ids.end()};
}

}  // namespace

int generate_text(const GenerateRequest& request) {
  set_threads(request.model.threads);
  const LoadedModel loaded = load_chosen(request.model, choose_device(request.model.device));
  const NextTokenModel& model = next_token_model(loaded, request.model, "generate");
  const Tokenizer& tokenizer = tokenizer_of(loaded, request.model, "generated from");
  GenerateOptions options = options_of(request, loaded);
  Policy early;
  if (request.draft == Draft::kExit) {
    early = early_policy(loaded.state.config.model);
    options.early = &early;
  }
  std::string given;
  const std::vector<int64_t> start = start_tokens(request, tokenizer, given);
  const int64_t room = options.window.capacity - (options.shift_id ? 1 : 0);
  if (options.window.overflow == Overflow::kStop && static_cast<int64_t>(start.size()) > room)
    misuse(fmt::format("the text has {} tokens, the window takes at most {}{}", start.size(), room,
                       options.shift_id ? " beside the shift token" : ""),
           "shorten it, or take --overflow=recompute or half");
  if (request.lookahead > 0) {
    print_ahead(request, tokenizer, scores_ahead(model, start, request.lookahead, options));
    return 0;
  }
  const std::vector<std::vector<int64_t>> texts(static_cast<size_t>(request.num_samples), start);
  return grow_texts(request, loaded, model, options, texts, given);
}

}  // namespace fathom
