"""OpenAI's dialect: what its clients send and receive, nothing of which is known outside."""

from fastapi import APIRouter

from fettle.api.openai import batches, chat, completions, embeddings, files, fine_tuning, models, responses, uploads

router = APIRouter()
for part in (models, chat, completions, responses, embeddings, files, uploads, fine_tuning, batches):
    router.include_router(part.router)
