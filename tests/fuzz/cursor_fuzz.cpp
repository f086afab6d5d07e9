// Places in the data, as a checkpoint carries them: each source refuses one, or gives a batch.
#include <nlohmann/json.hpp>

#include "fathom/data/numbers/numbers_data.h"
#include "fathom/data/shard_windows.h"
#include "fathom/data/shifted.h"
#include "fathom/io/json_text.h"
#include "fuzz/fuzzing.h"

namespace fathom::fuzzing {
namespace {

struct TwoShards {
  Folder folder;
  TwoShards() {
    folder.write("train_0.bin", std::string(60, '\x01'));
    folder.write("train_1.bin", std::string(34, '\x02'));
  }
};

void draw(const DataSet& source, const Cursor& cursor) {
  Drawn drawn;
  if (!accepts(0, [&] { drawn = source.next(cursor); })) return;
  const TokenBatch& batch = drawn.batch;
  const auto size = static_cast<size_t>(batch.B * batch.T);
  require(size > 0 && batch.tokens.size() == size && batch.targets.size() == size, "a batch");
  for (const int64_t token : batch.tokens)
    require(token == 0 || token == 0x0101 || token == 0x0202, "of the corpus's tokens");
  require(drawn.after["batch"] == cursor["batch"] + 1, "one batch further");
  accepts(0, [&] { source.next(drawn.after); });
}

void draw_shifted(const std::shared_ptr<const DataSet>& windows, const Cursor& cursor) {
  ShiftOptions options;
  options.odds = {2, ShiftDist::kUniform};
  options.text_vocab = 0x0203;
  const Shifted source(windows, options, 1);
  Drawn drawn;
  if (!accepts(0, [&] { drawn = source.next(cursor); })) return;
  const int64_t first = drawn.batch.tokens.at(0);
  require(first == 0x0203 || first == 0x0204, "a shift token in front");
  require(drawn.after["row"] == cursor["row"] + drawn.batch.B, "so many rows further");
}

void draw_numbers(int64_t T, const Cursor& cursor) {
  static const std::shared_ptr<const Tokenizer> tokenizer = numbers_tokenizer("char");
  NumbersConfig config;
  config.stream_share = 0.5;
  NumbersRows rows;
  rows.T = T;
  const NumbersData source(config, "train", rows, tokenizer);
  Drawn drawn;
  if (!accepts(0, [&] { drawn = source.next(cursor); })) return;
  require(drawn.batch.T >= 1 && drawn.batch.T <= T, "a row");
  require(drawn.after["sequence"] == cursor["sequence"] + 1, "one sequence further");
}

}  // namespace

FATHOM_FUZZ(in) {
  static const TwoShards data;
  static const Corpus corpus = Corpus::open(data.folder.path());
  const int64_t rows = 1 + static_cast<int64_t>(in.below(3));
  const int64_t length = 1 + static_cast<int64_t>(in.below(8));
  const int64_t world = 1 + static_cast<int64_t>(in.below(2));
  const std::string text = in.rest();
  Cursor cursor;
  if (!accepts(text.size(), [&] { cursor = parse_json(text, "x.json").get<Cursor>(); })) return;
  require(nlohmann::json(cursor).get<Cursor>() == cursor, "a place reads back as it was");
  accepts(0, [&] { draw(RandomWindows(corpus, "train", rows, length, 1, 0, world), cursor); });
  accepts(0, [&] { draw(EveryWindow(corpus, "train", rows, length), cursor); });
  accepts(0,
          [&] { draw(SequentialShards(corpus, "train", rows, length, world - 1, world), cursor); });
  accepts(0, [&] {
    draw(SequentialShards(corpus, "train", rows, length, world - 1, world, 0,
                          SequentialShards::Draws::kRows),
         cursor);
  });
  draw_numbers(length, cursor);
  accepts(0, [&] {
    draw_shifted(std::make_shared<RandomWindows>(corpus, "train", rows, length, 1, 0, world, 1, 2),
                 cursor);
  });
}

}  // namespace fathom::fuzzing
