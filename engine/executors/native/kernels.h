/* All kernels for one width of vectors. The including file sets the target, WIDTH, and NAME, the table's name. */
#include "steps.h"
#include "library.h"

#include "vector.h"
#include "functions.h"
#include "tile.h"
#include "convolution.h"
#include "winograd.h"
#include "pooling.h"
#include "rowwise.h"
#include "attention.h"
#include "recurrent.h"

const struct kernels NAME = {
    .lanes = LANES,
    .max_vectors = MAX_VECTORS,
    .full_rows = FULL_ROWS,
    .run = {
        [CONVOLUTION] = convolution, [WINOGRAD] = winograd, [WINOGRAD_INPUT] = winograd_input,
        [WINOGRAD_PRODUCT] = winograd_product, [WINOGRAD_OUTPUT] = winograd_output, [DEPTHWISE] = depthwise,
        [MAX_POOL] = max_pool, [AVERAGE_POOL] = average_pool, [MEAN] = mean, [COPY] = copy, [UNARY] = unary,
        [BINARY] = binary, [AFFINE] = affine, [SOFTMAX] = softmax, [LAYER_NORM] = layer_norm, [ATTENTION] = attention,
        [LSTM] = lstm, [GRU] = gru, [RNN] = rnn,
    },
};
