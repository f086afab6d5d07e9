// Rows: lines of any bytes, files of them, and places in their data sets as a checkpoint has them.
#include <nlohmann/json.hpp>

#include "fathom/data/prompt_rows.h"
#include "fathom/data/row.h"
#include "fathom/data/row_file.h"
#include "fathom/io/files.h"
#include "fathom/io/json_text.h"
#include "fuzz/fuzzing.h"

namespace fathom::fuzzing {
namespace {

void check_line(const std::string& line) {
  const RowFields fields = {"prompt, system", "truth", "text", "title"};
  std::optional<Row> row;
  if (!accepts(line.size(), [&] { row = read_row(line, fields, "x.jsonl, line 1"); })) return;
  require_printable(shown_fields(line));
  if (!row) return;
  require(row->is_text ? !row->text.empty() : !row->truth.empty() || !row->prompt.empty(),
          "a row has something in it");
  const std::string written = row_line(*row);
  require(written.find('\n') == std::string::npos, "a row is one line");
  require(read_row(written, {}, "again") == row, "a row reads back as it was");
}

void check_file(const std::string& text) {
  static const Folder folder;
  const std::string path = folder.write("x.jsonl", text);
  accepts(8 * text.size(), [&] {  // where each line begins
    const RowFile rows(path);
    require(rows.size() > 0, "a file has rows");
    for (uint64_t i = 0; i < std::min<uint64_t>(rows.size(), 50); ++i)
      accepts(text.size(), [&] { rows.row(i); });
  });
}

struct SoundRows {
  Folder folder;
  SoundRows() {
    const std::string rows =
        "{\"prompt\": \"a?\", \"truth\": \"bcdefghijkl\"}\n{\"text\": \"One. Two. Three four.\"}\n";
    folder.write("train.jsonl", rows);
    const nlohmann::json entry = {{"file", "train.jsonl"},
                                  {"rows", 2},
                                  {"tokens", 40},
                                  {"bytes", rows.size()},
                                  {"xxh3", xxh3_hex(as_bytes(rows))}};
    const nlohmann::json meta = {{"format_version", 1},
                                 {"kind", "rows"},
                                 {"tokenizer", {{"kind", "byte"}}},
                                 {"vocab_size", 256},
                                 {"splits", {{"train", {entry}}}}};
    folder.write("meta.json", meta.dump());
  }
};

void check_place(const std::string& text, RowOptions options) {
  static const SoundRows sound;
  static const Corpus corpus = Corpus::open(sound.folder.path());
  Cursor cursor;
  if (!accepts(text.size(), [&] { cursor = parse_json(text, "x.json").get<Cursor>(); })) return;
  const PromptRows rows(corpus, "train", options);
  Drawn drawn;
  if (!accepts(0, [&] { drawn = rows.next(cursor); })) return;
  const auto size = static_cast<size_t>(drawn.batch.T);
  require(size > 0 && drawn.batch.T <= options.T, "a row as long as the window at most");
  require(drawn.batch.tokens.size() == size && drawn.batch.targets.size() == size, "a batch");
  require(drawn.after != cursor, "one row further");
  accepts(0, [&] { rows.next(drawn.after); });
}

}  // namespace

FATHOM_FUZZ(in) {
  const size_t what = in.below(3);
  if (what == 0) return check_line(grown(in));
  if (what == 1) return check_file(grown(in));
  RowOptions options;
  options.T = 1 + static_cast<int64_t>(in.below(8));
  options.long_rows = static_cast<LongRows>(in.below(3));
  options.overlap = static_cast<int64_t>(in.below(8)) % options.T;
  options.pack = in.below(2) == 1;
  options.shuffle = in.below(2) == 1;
  check_place(in.rest(), options);
}

}  // namespace fathom::fuzzing
