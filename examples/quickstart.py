"""One prediction over Kafka. Reads STREAM_MAAS_BOOTSTRAP; `make demo` shows what else happens to a request."""

import asyncio

from stream_maas import Client


async def main() -> None:
    async with Client() as client:
        prediction = await client.predict("sentiment-lite", "What a lovely film.")
        print(prediction.label, prediction.score)


asyncio.run(main())
