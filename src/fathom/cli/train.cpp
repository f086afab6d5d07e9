#include "fathom/cli/train.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "fathom/base/error.h"
#include "fathom/base/text.h"
#include "fathom/cli/run_arguments.h"
#include "fathom/track/run_folder.h"
#include "fathom/train/plan/registry.h"

namespace fathom {
namespace {

void settle_run_name(const std::string& preset, TrainOptions& options) {
  if (options.run_name.empty() && !options.out_dir.empty()) {
    const std::filesystem::path path = std::filesystem::path(options.out_dir).lexically_normal();
    options.run_name = path.has_filename() ? path.filename() : path.parent_path().filename();
  }
  if (options.run_name.empty()) options.run_name = default_run_name(preset);
  check_run_name(options.run_name);
  const std::string folder = run_folder(options.run_name);
  if (std::filesystem::exists(folder) && !std::filesystem::is_empty(folder) && !options.force)
    misuse(fmt::format("the run {} exists already: {}", options.run_name, folder),
           "choose another --run_name, or remove that run with --force");
}

Corpus open_corpus(const std::string& dataset) {
  if (!dataset.empty()) return Corpus::open(dataset);
  const std::vector<std::string> prepared = prepared_corpora();
  misuse("dataset is missing: this preset has no corpus of its own",
         prepared.empty() ? "prepare one with `fathom prepare shakespeare_char`, then add "
                            "--dataset=shakespeare_char"
                          : "add --dataset=NAME; prepared: " + join(prepared, ", "));
}

}  // namespace

void add_fields(FieldList& list, TrainOptions& o) {
  list.section("run");
  list.add("run_name", o.run_name, "folder below runs/, empty: the preset and the time");
  list.add("out_dir", o.out_dir, "nanoGPT's spelling of run_name: its last part");
  list.add("init_from", o.init_from, "nanoGPT's switch; only scratch is possible");
  list.add("force", o.force, "remove a run of the same name first");
  list.add("quiet", o.quiet, "no progress, only the outcome");
}

std::optional<TrainRequest> parse_train(const Arguments& arguments) {
  CommandLine line("train", "EXPERIMENT [CONFIG_FILE ...] [--key=value ...]",
                   "Train a model. Later words win over earlier ones.",
                   "fathom train " + registry().example() + " --max_iters=500");
  std::string preset, config_file;
  line.positional("EXPERIMENT", preset, "a preset that `fathom list` shows");
  line.takes_config_files();

  TrainRequest request;
  const auto make_list = [&] {
    FieldList list;
    add_fields(list, request.options);
    list.add("config", config_file, "a TOML or nanoGPT config file; a bare path does the same");
    add_fields(list, request.config);
    return list;
  };
  // So that `EXPERIMENT --help` shows that preset's values.
  if (!arguments.empty() && arguments[0].rfind('-', 0) != 0)
    request.config = preset_config(arguments[0]);
  const auto settings = line.parse(arguments, make_list());
  if (!settings) return std::nullopt;

  request.config = preset_config(preset);
  FieldList list = make_list();
  request.notices = apply_settings(*settings, preset, list);
  for (std::string& notice : resolve(list, request.config))
    request.notices.push_back(std::move(notice));
  if (request.options.init_from != "scratch")
    misuse(
        fmt::format("init_from = {} is not possible, allowed: scratch", request.options.init_from),
        "every run starts from its own initialisation");
  settle_run_name(preset, request.options);
  request.corpus = open_corpus(request.config.data.dataset);
  for (const char* split : {"train", "val"}) request.corpus.shards(split);  // throws without it
  require_block(request.corpus, request.config.model.backbone.block_size);
  request.vocab_size = settled_vocab_size(request.config, request.corpus.vocab_size());
  if (request.corpus.vocab_size() == 0) {
    request.corpus.assume_vocab_size(request.vocab_size);
    if (!request.config.model.backbone.vocab_size)
      request.notices.push_back(
          fmt::format("{} does not say its vocabulary: taking {}, --vocab_size sets another",
                      request.corpus.name(), request.vocab_size));
  }
  return request;
}

}  // namespace fathom
