#include "fathom/train/recipe/plan_data.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>

#include "fathom/base/error.h"
#include "fathom/base/text.h"
#include "fathom/config/path_text.h"
#include "fathom/data/corpus.h"
#include "fathom/data/corpus_name.h"
#include "fathom/data/known_corpora.h"
#include "fathom/io/files.h"
#include "fathom/io/json_text.h"

namespace fathom {
namespace {

using Tree = nlohmann::ordered_json;

struct Loader {
  std::vector<std::string> names;  // spellings of ds_loader
  // Keys of kwargs: what is loaded, which part of it, and what is read and has no effect.
  std::vector<std::string> of, part, idle;
};
const std::vector<std::string> kIdle = {"val_split", "seed",      "date",     "split",
                                        "shuffle",   "cache_dir", "save_dir", "trust_remote_code"};
const Loader kWiki = {{"wiki", "wikipedia"}, {"language", "lang"}, {}, kIdle};
const Loader kOpenOrca = {{"openorca"}, {}, {}, kIdle};
const Loader kHf = {{"hf"},
                    {"path", "dataset", "dataset_name"},
                    {"name", "config", "subset"},
                    {"prompt", "truth", "text", "title", "prompt_column", "truth_column",
                     "text_column", "title_column", "val_split", "seed", "split", "shuffle",
                     "cache_dir", "save_dir", "trust_remote_code", "streaming"}};
const Loader kFile = {{"file", "text", "txt", "jsonl", "bin"}, {"path", "file"}, {}, kIdle};

struct LoaderArguments {
  std::vector<std::string> args;
  std::string named, part;  // empty: not given
};

std::string text_of(const Tree& value, const std::string& at, const std::string& what) {
  constexpr size_t kLongest = 1024;
  if (!value.is_string() || value.get_ref<const std::string&>().empty() ||
      value.get_ref<const std::string&>().size() > kLongest)
    misuse(fmt::format("{} has {} as {}", at, shown_json(nlohmann::json(value)), what),
           "it is a text");
  return value.get<std::string>();
}

LoaderArguments arguments_of(const Tree& entry, const Loader& loader, const std::string& at,
                             std::vector<std::string>& notices) {
  LoaderArguments out;
  if (entry.contains("args")) {
    if (!entry.at("args").is_array() || entry.at("args").size() > 8)
      misuse(at + " has other args than a short list", R"("args": ["en"])");
    for (const Tree& value : entry.at("args"))
      out.args.push_back(text_of(value, at, "an argument"));
  }
  if (!entry.contains("kwargs")) return out;
  if (!entry.at("kwargs").is_object())
    misuse(at + " has kwargs that are no object", R"("kwargs": {"language": "en"})");
  const auto holds = [](const std::vector<std::string>& list, const std::string& key) {
    return std::find(list.begin(), list.end(), key) != list.end();
  };
  std::vector<std::string> idle;
  for (const auto& [key, value] : entry.at("kwargs").items()) {
    if (holds(loader.of, key)) {
      out.named = text_of(value, at, key);
    } else if (holds(loader.part, key)) {
      out.part = text_of(value, at, key);
    } else if (holds(loader.idle, key)) {
      idle.push_back(key);
    } else {
      std::vector<std::string> known = loader.of;
      for (const auto& more : {loader.part, loader.idle})
        known.insert(known.end(), more.begin(), more.end());
      misuse(fmt::format("{} has an unknown argument {}", at, quoted_start(key)),
             suggestion(key, known));
    }
  }
  if (!idle.empty())
    notices.push_back(fmt::format("{}: {} {} no effect: a corpus is taken as it was prepared", at,
                                  join(idle, ", "), idle.size() == 1 ? "has" : "have"));
  return out;
}

// "en", "20231101.en" or "en" with a date behind it.
std::string wiki_corpus(const LoaderArguments& given, const std::string& at) {
  std::string language = given.named;
  for (const std::string& word : given.args) {
    const bool is_date = word.find_first_not_of("0123456789") == std::string::npos;
    if (is_date || !language.empty()) continue;
    language = word.substr(word.find('.') == std::string::npos ? 0 : word.find('.') + 1);
  }
  if (language.empty()) language = "en";
  const bool is_language =
      language.size() <= 16 &&
      language.find_first_not_of("abcdefghijklmnopqrstuvwxyz-") == std::string::npos;
  if (!is_language)
    misuse(fmt::format("{} has {} as its language", at, quoted_start(language)),
           "a language is written as Wikipedia does: en, es, simple");
  return "wiki_" + language;
}

// "roneneldan/TinyStories" -> "tinystories", by the table or by the name's last part.
std::string hf_corpus(const std::string& published, const std::string& part,
                      const std::string& at) {
  const auto same = [](const std::string& a, const std::string& b) {
    return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                      [](char x, char y) { return std::tolower(x) == std::tolower(y); });
  };
  for (const PublishedData& known : published_data())
    if (same(known.published, published) &&
        (part.empty() || known.part.empty() || same(known.part, part)))
      return known.corpus;
  std::string name = published.substr(published.find_last_of('/') + 1);
  std::transform(name.begin(), name.end(), name.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  if (name.empty())
    misuse(fmt::format("{} has {} as its data set", at, quoted_start(published)), "owner/name");
  std::replace(name.begin(), name.end(), ',', '_');
  return corpus_name_of(name);
}

std::string prepare_line(const std::string& what, const std::string& name) {
  return fmt::format("`fathom prepare {} --name={}`", what, shell_word(name));
}

bool is_bare_name(const std::string& part) {
  return !part.empty() && part.find('/') == std::string::npos && part != "." && part != "..";
}

bool is_folder(const std::string& path) {
  std::error_code ignored;
  return std::filesystem::is_directory(path, ignored);
}

bool is_in_data(const std::string& name) {
  return is_bare_name(name) &&
         is_folder(folder_to_read((std::filesystem::path(data_root()) / name).string()));
}

[[noreturn]] void refuse_missing(const std::string& part) {
  const std::string sentence = fmt::format("the data {} is not prepared", quoted_start(part));
  if (find_known_corpus(part) != nullptr)
    misuse(sentence, fmt::format("`fathom prepare {}`", part));
  if (const PublishedData* known = find_published_data(part))
    misuse(sentence, fmt::format("download {}{} ({}), then {}", known->published,
                                 known->part.empty() ? "" : ", " + known->part, known->what,
                                 prepare_line(known->prepare, part)));
  std::vector<std::string> names = prepared_corpora();
  names.emplace_back(kNumbers);
  for (const PublishedData& data : published_data()) names.push_back(data.corpus);
  const std::string nearest = nearest_name(part, names);
  const bool nameable = is_bare_name(part) && is_printable(part) && part.size() <= 100;
  misuse(sentence,
         (nearest.empty() ? "" : fmt::format("did you mean {}? Else ", escaped(nearest))) +
             prepare_line("FILE", nameable ? part : "NAME"));
}

}  // namespace

const std::vector<PublishedData>& published_data() {
  static const std::vector<PublishedData> all = {
      {"tinystories", "roneneldan/TinyStories", "", "stories in the words of a small child",
       "fineweb --input FOLDER"},
      {"wiki_en", "wikimedia/wikipedia", "20231101.en", "the English Wikipedia",
       "wikipedia --input FOLDER"},
      {"wiki_es", "wikimedia/wikipedia", "20231101.es", "the Spanish Wikipedia",
       "wikipedia --input FOLDER"},
      {"openorca", "Open-Orca/OpenOrca", "", "questions and answers",
       "FILE.parquet --prompt_field=system_prompt,question --truth_field=response "
       "--tokenizer=gpt2"},
      {"orcamathword200", "microsoft/orca-math-word-problems-200k", "", "arithmetic in words",
       "FILE.parquet --prompt_field=question --truth_field=answer --tokenizer=gpt2"},
      {"smoltalk", "HuggingFaceTB/smoltalk", "all", "conversations",
       "FILE.parquet --tokenizer=gpt2"},
      {"cosmopedia_v2", "HuggingFaceTB/smollm-corpus", "cosmopedia-v2", "written textbooks",
       "fineweb --input FOLDER"},
      {"fineweb_edu", "HuggingFaceFW/fineweb-edu", "sample-10BT", "pages that teach",
       "fineweb --input FOLDER"},
      {"fineweb", "HuggingFaceFW/fineweb", "sample-10BT", "pages of the web",
       "fineweb --input FOLDER"},
      {"openwebtext", "Skylion007/openwebtext", "", "pages that were linked to",
       "openwebtext --input FOLDER"},
      {"wikitext", "Salesforce/wikitext", "wikitext-103-raw-v1", "good articles of Wikipedia",
       "wikitext --input FOLDER"},
      {"wikipedia", "wikimedia/wikipedia", "20231101.en", "the English Wikipedia",
       "wikipedia --input FOLDER"}};
  return all;
}

const PublishedData* find_published_data(const std::string& corpus) {
  for (const PublishedData& data : published_data())
    if (data.corpus == corpus) return &data;
  return nullptr;
}

std::string corpus_of_loader(const Tree& entry, const std::string& at,
                             std::vector<std::string>& notices) {
  if (!entry.is_object()) misuse(at + " is no object", R"({"ds_loader": "wiki", "args": ["en"]})");
  const std::vector<std::string> keys = {"ds_loader", "args", "kwargs"};
  for (const auto& [key, value] : entry.items())
    if (std::find(keys.begin(), keys.end(), key) == keys.end())
      misuse(fmt::format("{} has an unknown key {}", at, quoted_start(key)), suggestion(key, keys));
  if (!entry.contains("ds_loader"))
    misuse(at + " has no ds_loader", "wiki, openorca, hf, or file for a local one");
  const std::string name = text_of(entry.at("ds_loader"), at, "ds_loader");
  std::vector<std::string> known;
  for (const Loader* loader : {&kWiki, &kOpenOrca, &kHf, &kFile}) {
    known.insert(known.end(), loader->names.begin(), loader->names.end());
    if (std::find(loader->names.begin(), loader->names.end(), name) == loader->names.end())
      continue;
    const LoaderArguments given = arguments_of(entry, *loader, at, notices);
    if (loader == &kWiki) return wiki_corpus(given, at);
    if (loader == &kOpenOrca) return "openorca";
    const std::string what = !given.named.empty() ? given.named
                             : given.args.empty() ? ""
                                                  : given.args[0];
    if (what.empty())
      misuse(at + " does not say what to load",
             loader == &kHf ? R"("args": ["roneneldan/TinyStories"])" : R"("args": ["PATH"])");
    if (loader == &kFile) return what;
    const bool has_second = given.part.empty() && given.named.empty() && given.args.size() > 1;
    const std::string corpus = hf_corpus(what, has_second ? given.args[1] : given.part, at);
    notices.push_back(fmt::format("{} is {}, here the corpus {}", at, escaped(what), corpus));
    return corpus;
  }
  misuse(fmt::format("{} has an unknown ds_loader {}", at, quoted_start(name)),
         suggestion(name, known));
}

std::vector<std::string> data_parts(const std::string& dataset) {
  std::vector<std::string> parts;
  if (dataset.empty()) return parts;
  if (dataset.find(',') == std::string::npos || is_folder(path_from_text(dataset)) ||
      is_in_data(dataset))
    return {dataset};
  for (size_t begin = 0; begin <= dataset.size();) {
    const size_t end = std::min(dataset.find(',', begin), dataset.size());
    const std::string name(trim(std::string_view(dataset).substr(begin, end - begin)));
    if (!name.empty()) parts.push_back(name);
    begin = end + 1;
  }
  return parts;
}

std::string prepared_data(const std::string& part) {
  if (part == kNumbers) return part;
  const std::string path = path_from_text(part);
  if (is_in_data(path) || is_folder(path)) return part;
  std::error_code ignored;
  if (!std::filesystem::exists(path, ignored)) refuse_missing(part);
  const std::string name = corpus_name_of(std::filesystem::path(path).stem().string());
  if (is_in_data(name)) return name;
  misuse(fmt::format("{} is a file: it is prepared before it is trained on", quoted_start(part)),
         prepare_line(shell_word(path), name));
}

bool is_prepared(const std::string& part) {
  try {
    prepared_data(part);
    return true;
  } catch (const Error&) {
    return false;
  }
}

}  // namespace fathom
